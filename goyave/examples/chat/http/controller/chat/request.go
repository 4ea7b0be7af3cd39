package chat

import (
	"regexp"

	"goyave.dev/goyave/v5"
	v "goyave.dev/goyave/v5/validation"
)

// nameRegex matches letters, accents, digits, punctuation and emoji, with spaces between them.
var nameRegex = regexp.MustCompile(`^[\p{L}\p{M}\p{N}\p{P}\p{So}](?:[\p{L}\p{M}\p{N}\p{P}\p{So} ]*[\p{L}\p{M}\p{N}\p{P}\p{So}])?$`)

// JoinRequest returns the validation rules for the query of a client that joins.
func JoinRequest(_ *goyave.Request) v.RuleSet {
	return v.RuleSet{
		{Path: "name", Rules: v.List{v.Required(), v.String(), v.Between(2, 20), v.Regex(nameRegex)}},
	}
}
