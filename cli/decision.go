package cli

import "github.com/spf13/cobra"

func (c *command) decisionCmds() []*cobra.Command { return nil }
