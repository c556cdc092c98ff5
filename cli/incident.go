package cli

import "github.com/spf13/cobra"

func (c *command) incidentCmds() []*cobra.Command { return nil }
