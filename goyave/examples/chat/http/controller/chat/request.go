package chat

import (
	"regexp"

	"github.com/goyave-contrib/websocket/hub"
	"goyave.dev/goyave/v5"
	v "goyave.dev/goyave/v5/validation"
)

// nameRegex matches letters, accents, digits, punctuation and emoji, with spaces between them.
var nameRegex = regexp.MustCompile(`^[\p{L}\p{M}\p{N}\p{P}\p{So}](?:[\p{L}\p{M}\p{N}\p{P}\p{So} ]*[\p{L}\p{M}\p{N}\p{P}\p{So}])?$`)

// JoinRequest returns the validation rules for the query of a client that joins.
func JoinRequest(_ *goyave.Request) v.RuleSet {
	return v.RuleSet{
		{Path: "name", Rules: v.List{v.Required(), v.String(), v.Between(2, 20), v.Regex(nameRegex)}},
		{Path: "since", Rules: v.List{v.WithMessage(&positionValidator{}, "The position is malformed.")}},
	}
}

// A positionValidator converts a string to a [hub.Position].
type positionValidator struct{ v.BaseValidator }

// Validate reports whether the value is a position.
func (*positionValidator) Validate(ctx *v.Context) bool {
	text, ok := ctx.Value.(string)
	if !ok {
		return false
	}
	position, err := hub.ParsePosition(text)
	ctx.Value = position
	return err == nil
}

// Name returns the name of the validator.
func (*positionValidator) Name() string { return "position" }

// IsType returns true: the validator converts the value.
func (*positionValidator) IsType() bool { return true }
