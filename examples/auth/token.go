package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"
)

var errToken = errors.New("the token is not valid")

// issuer makes and checks tokens: user, time of expiry and signature, with a dot between them.
// It stands for whatever makes the tokens of your application.
type issuer struct {
	key []byte // secret
}

// issue returns a token for a user. It expires at the given time, rounded down to a second.
func (i *issuer) issue(user string, expires time.Time) string {
	claim := base64.RawURLEncoding.EncodeToString([]byte(user)) + "." + strconv.FormatInt(expires.Unix(), 10)
	return claim + "." + i.sign(claim)
}

// check returns the user of a token, and when it expires.
func (i *issuer) check(token string) (user string, expires time.Time, err error) {
	claim, signature, _ := cutLast(token)
	if !hmac.Equal([]byte(signature), []byte(i.sign(claim))) {
		return "", time.Time{}, errToken
	}
	encoded, seconds, _ := cutLast(claim) // it can be decoded: issue has made it
	name, nameErr := base64.RawURLEncoding.DecodeString(encoded)
	unix, timeErr := strconv.ParseInt(seconds, 10, 64)
	expires = time.Unix(unix, 0)
	if err := errors.Join(nameErr, timeErr); err != nil {
		return "", time.Time{}, err
	}
	if !time.Now().Before(expires) {
		return "", time.Time{}, errToken
	}
	return string(name), expires, nil
}

func (i *issuer) sign(claim string) string {
	mac := hmac.New(sha256.New, i.key)
	mac.Write([]byte(claim))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// cutLast cuts a text at its last dot.
func cutLast(text string) (before, after string, found bool) {
	at := strings.LastIndexByte(text, '.')
	if at < 0 {
		return text, "", false
	}
	return text[:at], text[at+1:], true
}
