package cli

import "github.com/spf13/cobra"

func (c *command) witnessCmds() []*cobra.Command { return nil }
