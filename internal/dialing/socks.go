package dialing

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"strconv"
)

// Constants of SOCKS5 (RFC 1928, 3 to 6; RFC 1929).
const (
	socksVersion         = 5
	socksNoPassword      = 0
	socksPassword        = 2
	socksConnect         = 1
	socksIPv4            = 1
	socksDomainName      = 3
	socksIPv6            = 4
	socksPasswordVersion = 1 // the version of the username/password subnegotiation
)

// socksRefusals are the texts of the reply codes from 1 on; 0 means success.
var socksRefusals = []string{
	"general failure", "connection not allowed", "network unreachable", "host unreachable",
	"connection refused", "TTL expired", "command not supported", "address type not supported",
}

// connectSOCKS asks a SOCKS5 proxy to connect to an address and to resolve its host. It
// reads nothing after the proxy's reply.
func connectSOCKS(nc io.ReadWriter, address string, user *url.Userinfo) error {
	request, err := socksRequest(address)
	if err != nil {
		return err
	}
	login, err := socksLogin(user)
	if err != nil {
		return err
	}
	methods := []byte{socksVersion, 1, socksNoPassword}
	if login != nil {
		methods = []byte{socksVersion, 2, socksNoPassword, socksPassword}
	}
	var answer [4]byte
	if err := socksExchange(nc, methods, answer[:2]); err != nil {
		return err
	}
	switch {
	case answer[0] != socksVersion:
		return fmt.Errorf("it speaks no SOCKS5: %q", answer[:2])
	case answer[1] == socksPassword && login != nil:
		if err := socksExchange(nc, login, answer[:2]); err != nil {
			return err
		}
		if answer[1] != 0 {
			return errors.New("it does not accept the user and password")
		}
	case answer[1] != socksNoPassword:
		return errors.New("it wants another kind of authentication")
	}
	if err := socksExchange(nc, request, answer[:]); err != nil {
		return err
	}
	switch refusal := int(answer[1]); {
	case answer[0] != socksVersion:
		return fmt.Errorf("it speaks no SOCKS5: %q", answer)
	case refusal > len(socksRefusals):
		return fmt.Errorf("it refuses: %d", refusal)
	case refusal > 0:
		return fmt.Errorf("it refuses: %s", socksRefusals[refusal-1])
	}
	return skipSOCKSAddress(nc, answer[3])
}

// socksExchange sends a message and fills answer from the reply.
func socksExchange(nc io.ReadWriter, sent, answer []byte) error {
	if _, err := nc.Write(sent); err != nil {
		return err
	}
	_, err := io.ReadFull(nc, answer)
	return noEOF(err)
}

// socksRequest returns the request to connect to an address.
func socksRequest(address string) ([]byte, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("port %q is no number up to 65535", port)
	}
	b := []byte{socksVersion, socksConnect, 0}
	ip, err := netip.ParseAddr(host)
	switch {
	case err == nil && ip.Is4():
		b = append(append(b, socksIPv4), ip.AsSlice()...)
	case err == nil:
		b = append(append(b, socksIPv6), ip.AsSlice()...)
	case len(host) > 255:
		return nil, errors.New("the host has more than 255 bytes")
	default:
		b = append(append(b, socksDomainName, byte(len(host))), host...)
	}
	return binary.BigEndian.AppendUint16(b, uint16(number)), nil
}

// socksLogin returns the message with the user and password, or nil if there is no user.
func socksLogin(user *url.Userinfo) ([]byte, error) {
	if user == nil {
		return nil, nil
	}
	name := user.Username()
	password, _ := user.Password()
	if name == "" || len(name) > 255 || len(password) > 255 {
		return nil, errors.New("user or password has a length that SOCKS5 can't send")
	}
	b := append([]byte{socksPasswordVersion, byte(len(name))}, name...)
	return append(append(b, byte(len(password))), password...), nil
}

// skipSOCKSAddress reads the address and port at the end of a reply: those from which the
// proxy connects.
func skipSOCKSAddress(r io.Reader, kind byte) error {
	var rest [256 + 2]byte
	n := 0
	switch kind {
	case socksIPv4:
		n = net.IPv4len
	case socksIPv6:
		n = net.IPv6len
	case socksDomainName:
		if _, err := io.ReadFull(r, rest[:1]); err != nil {
			return noEOF(err)
		}
		n = int(rest[0])
	default:
		return fmt.Errorf("it answers with an address of kind %d", kind)
	}
	_, err := io.ReadFull(r, rest[:n+2])
	return noEOF(err)
}
