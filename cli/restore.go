package cli

import "github.com/spf13/cobra"

func (c *command) restoreCmds() []*cobra.Command { return nil }
