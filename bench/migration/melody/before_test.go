package melody_test

import (
	"log"
	"net/http"

	"github.com/olahol/melody"
)

func chat(mux *http.ServeMux) *melody.Melody {
	m := melody.New()
	m.Config.MaxMessageSize = 4096
	m.HandleConnect(func(s *melody.Session) {
		s.Set("name", s.Request.URL.Query().Get("name"))
	})
	m.HandleMessage(func(s *melody.Session, text []byte) {
		line := s.MustGet("name").(string) + ": " + string(text)
		err := m.BroadcastFilter([]byte(line), func(other *melody.Session) bool {
			return other.Request.PathValue("room") == s.Request.PathValue("room")
		})
		if err != nil {
			log.Println("broadcast:", err)
		}
	})
	m.HandleDisconnect(func(s *melody.Session) {
		log.Println(s.MustGet("name"), "left")
	})
	mux.HandleFunc("GET /chat/{room}", func(w http.ResponseWriter, r *http.Request) {
		if err := m.HandleRequest(w, r); err != nil {
			log.Println("upgrade:", err)
		}
	})
	return m
}

func kick(m *melody.Melody, name string) error {
	sessions, err := m.Sessions()
	if err != nil {
		return err
	}
	for _, s := range sessions {
		if s.MustGet("name") == name {
			if err := s.CloseWithMsg(melody.FormatCloseMessage(4001, "be nice")); err != nil {
				return err
			}
		}
	}
	return nil
}
