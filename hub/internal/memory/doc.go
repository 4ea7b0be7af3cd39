// Package memory keeps in this process what brokers keep: the last messages of rooms ([Histories]) and
// which people each node has in which rooms ([Presence]). It keeps that as hub.HistoryBroker and
// hub.PresenceBroker say, and knows neither how nodes are connected nor what a message is. The zero values
// are ready to use, and all methods may be called from any goroutine. There are no goroutines and no timers
// here: what is too old is dropped by later calls.
package memory
