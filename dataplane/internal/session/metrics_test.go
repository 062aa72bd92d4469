package session

import (
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/warder-gateway/warder/internal/policy"
)

// Names of limits come from people, who may change them for ever: the node has series for
// as many as a policy may have, and counts the others together.
func TestP24_NamesOfLimitsAreBoundedLabels(t *testing.T) {
	registry := prometheus.NewRegistry()
	m := newMetrics(registry)
	for i := range policy.MaxLimits + 50 {
		m.limits.get(fmt.Sprint("limit-", i)).Inc()
		m.limits.get("limit-0").Inc()
	}
	if n, err := testutil.GatherAndCount(registry, "warder_limit_refusals_total"); n != policy.MaxLimits+1 || err != nil {
		t.Errorf("%d series, %v; want %d", n, err, policy.MaxLimits+1)
	}
	if first, rest := testutil.ToFloat64(m.limits.get("limit-0")), testutil.ToFloat64(m.limits.get("")); first != policy.MaxLimits+51 || rest != 50 {
		t.Errorf("%v of the first, %v of those beyond the bound", first, rest)
	}
}
