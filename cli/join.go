package cli

import "github.com/spf13/cobra"

func (c *command) joinCmds() []*cobra.Command { return nil }
