package sdktest

import (
	"context"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"andon/sim"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		println(err.Error())
		code = 1
	}
	os.Exit(code)
}

// provider starts a simulated provider that ends with the test.
func provider(t *testing.T) *sim.Sim {
	t.Helper()
	s, err := sim.New(sim.Config{})
	ok(t, err)
	ok(t, s.Start(t.Context()))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}

// The simulated provider is one that the SDKs cannot tell from the real ones.
func TestProvider(t *testing.T) {
	s := provider(t)
	Run(t, Target{URL: s.URL(), Key: "any", Model: "sim-large"})
	if streams, plain := s.Active(); streams != 0 || plain != 0 {
		t.Errorf("%d streams and %d calls still open at the provider", streams, plain)
	}
}

func TestProviderNode(t *testing.T) {
	RunNode(t, Target{URL: provider(t).URL(), Key: "any", Model: "sim-large"})
}
