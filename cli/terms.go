package cli

import "github.com/spf13/cobra"

func (c *command) termsCmds() []*cobra.Command { return nil }
