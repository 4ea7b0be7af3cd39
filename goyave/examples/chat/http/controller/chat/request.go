package chat

import (
	"regexp"

	"goyave.dev/goyave/v5"
	v "goyave.dev/goyave/v5/validation"
)

var nameRegex = regexp.MustCompile(`^[\p{L}\p{N}](?:[\p{L}\p{N} ._-]*[\p{L}\p{N}])?$`)

// JoinRequest are the rules for the query of a client that joins.
func JoinRequest(_ *goyave.Request) v.RuleSet {
	return v.RuleSet{
		{Path: "name", Rules: v.List{v.Required(), v.String(), v.Between(2, 20), v.Regex(nameRegex)}},
	}
}
