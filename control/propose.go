package control

import (
	"context"
	"net/http"

	"andon/propose"
)

// proposalAsk is a case, and whether each proposal is to be previewed.
type proposalAsk struct {
	propose.Case
	Preview *bool `json:"preview,omitempty"` // default true
}

// proposalList is the ladder for a case, the narrowest rung first.
type proposalList struct {
	Threat    propose.Threat `json:"threat"`
	Proposals []proposalView `json:"proposals"`
}

// proposalView is one rung, and what it would do.
type proposalView struct {
	propose.Proposal
	Preview *previewView `json:"preview,omitempty"`
}

// threatList is what can be said to be wrong.
type threatList struct {
	Threats []propose.Threat `json:"threats"`
}

func (c *Control) getThreats(cl *call) error {
	if err := cl.op.may("correction.read"); err != nil {
		return err
	}
	return cl.reply(http.StatusOK, threatList{propose.Threats()})
}

// postProposals proposes, and applies nothing. Every proposal is checked as it
// will be when it is posted.
func (c *Control) postProposals(cl *call) error {
	if err := cl.op.may("correction.preview"); err != nil {
		return err
	}
	ask, err := decode[proposalAsk](cl)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cl.r.Context(), 2*previewTime) // of all previews together
	defer cancel()
	now := c.cfg.Now().UTC().Round(0)
	ladder, err := propose.Ladder(ask.Case, now)
	if err != nil {
		return err
	}
	list := proposalList{Proposals: []proposalView{}}
	for _, t := range propose.Threats() {
		if t.Name == ask.Threat {
			list.Threat = t
		}
	}
	for _, p := range ladder {
		v := proposalView{Proposal: p}
		checked, err := c.check(p.Correction, now)
		if err != nil {
			return err
		}
		if ask.Preview == nil || *ask.Preview {
			seen, err := c.preview(ctx, &checked)
			if err != nil {
				return err
			}
			v.Preview = &seen
		}
		list.Proposals = append(list.Proposals, v)
	}
	return cl.reply(http.StatusOK, list)
}
