package browsertoken

import (
	"errors"

	"goyave.dev/goyave/v5"
	"goyave.dev/goyave/v5/lang"
)

// The names of the language lines with the reasons of a refusal.
const (
	missingLine   = "websocket.token-missing"
	malformedLine = "websocket.token-malformed"
	severalLine   = "websocket.token-several"
)

var (
	errMissing   = errors.New(missingLine)
	errMalformed = errors.New(malformedLine)
	errSeveral   = errors.New(severalLine)
)

// english are the lines for English, Goyave's built-in language.
var english = map[string]string{
	missingLine:   `The authentication token after "bearer" is missing.`,
	malformedLine: "Your authentication token is malformed.",
	severalLine:   "There is more than one authentication token.",
}

func init() {
	for name, line := range english {
		lang.SetDefaultLine(name, line)
	}
}

// localized returns an error with the line of the reason in the request's language, in the default
// language, or in English. Goyave's status handler would show the name of the line if the request's
// language lacks it.
func (m *Middleware) localized(request *goyave.Request, reason error) error {
	name := reason.Error()
	for _, language := range []*lang.Language{request.Lang, m.Lang().GetDefault()} {
		if language == nil { // in a request that a test has made
			continue
		}
		if line := language.Get(name); line != name {
			return errors.New(line)
		}
	}
	return errors.New(english[name])
}
