package cli

import (
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/spf13/cobra"
)

func (c *command) exchangeCmds() []*cobra.Command {
	var from uint64
	cmd := &cobra.Command{
		Use: "openc2", Short: "The history of corrections as OpenC2 commands and responses, one message a line", Args: noneBelow,
		Example: "  andon openc2 > history.ndjson",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			cl.http.Timeout = 0
			resp, err := cl.send(cmd.Context(), http.MethodGet, "/openc2?from="+strconv.FormatUint(from, 10), nil, nil)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if _, err := io.Copy(c.Stdout, resp.Body); err != nil {
				return fmt.Errorf("read the history (what was printed is not whole): %w", err)
			}
			return nil
		},
	}
	cmd.Flags().Uint64Var(&from, "from", 0, "number of the ledger entry to begin with")
	return []*cobra.Command{cmd}
}
