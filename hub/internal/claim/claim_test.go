package claim_test

import (
	"testing"

	"github.com/goyave-contrib/websocket/hub/internal/claim"
	"github.com/stretchr/testify/assert"
)

func TestNewerClaimsWinOnAllNodes(t *testing.T) {
	set := claim.Claim{Key: "ann", ID: "z"} // it was not taken
	a, b, c := claim.Claim{ID: "b", Time: 1}, claim.Claim{ID: "c", Time: 1}, claim.Claim{ID: "a", Time: 2}
	for _, pair := range [][2]claim.Claim{{set, a}, {a, b}, {b, c}, {set, c}} {
		assert.True(t, pair[0].IsBefore(pair[1]), "%v", pair)
		assert.False(t, pair[1].IsBefore(pair[0]), "%v", pair)
	}
	assert.False(t, a.IsBefore(a))
}

func TestAddedClaimIsNewerThanAllOthers(t *testing.T) {
	var claims claim.Claims[string]
	var last claim.Claim
	for _, m := range []string{"one", "two", "one"} {
		added, previous := claims.Add(m, claim.Claim{Key: "ann", ID: m, Code: 4001, Reason: "taken"})
		assert.True(t, last.IsBefore(added))
		assert.Equal(t, added, claims.Of(m, "ann"))
		assert.Equal(t, m == "one" && last.Time != 0, previous.Time != 0, "the claim that %s had", m)
		last = added
	}
	assert.Equal(t, 2, claims.Len(), "one for each member and key")
	assert.Equal(t, claim.Claim{Key: "bob"}, claims.Of("one", "bob"), "a key that is not taken")
}

func TestClaimIsReplacedByThePreviousOne(t *testing.T) {
	var claims claim.Claims[string]
	first, none := claims.Add("one", claim.Claim{Key: "ann"})
	second, previous := claims.Add("one", claim.Claim{Key: "ann"})
	assert.Equal(t, first, previous)
	claims.Replace("one", first, none)
	assert.Equal(t, second, claims.Of("one", "ann"), "a later one stays")
	claims.Replace("one", second, previous)
	assert.Equal(t, first, claims.Of("one", "ann"))
	claims.Replace("one", first, none)
	assert.Zero(t, claims.Len())
}

func TestClaimsAreForgotten(t *testing.T) {
	var claims claim.Claims[string]
	for _, key := range []string{"ann", "bob", "cid"} {
		claims.Add("one", claim.Claim{Key: key})
	}
	claims.Add("two", claim.Claim{Key: "ann"})
	claims.Forget("one", "ann")
	claims.Forget("one", "dan")
	assert.Zero(t, claims.Of("one", "ann").Time)
	assert.NotZero(t, claims.Of("one", "bob").Time)
	assert.Equal(t, 3, claims.Len())
	claims.ForgetAll("one")
	claims.ForgetAll("three")
	assert.Equal(t, 1, claims.Len())
	claims.Forget("two", "ann")
	assert.Zero(t, claims.Len())
}
