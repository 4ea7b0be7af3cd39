package browsertoken

import (
	"errors"

	"goyave.dev/goyave/v5"
	"goyave.dev/goyave/v5/lang"
)

// Names of the language lines that say why a request is refused.
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

// english is the language that Goyave has built in.
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

// localized returns the reason with its line in the request's language, in the default
// one, or in English. Goyave's status handler would show the line's name where the
// request's language lacks it.
func (m *Middleware) localized(request *goyave.Request, reason error) error {
	name := reason.Error()
	for _, language := range []*lang.Language{request.Lang, m.Lang().GetDefault()} {
		if language == nil { // of a request that a test made
			continue
		}
		if line := language.Get(name); line != name {
			return errors.New(line)
		}
	}
	return errors.New(english[name])
}
