// Package playbook is what to do, written ahead of time: a ladder of
// corrections, tasks, notices, evidence steps and exit criteria, with a stop-gap
// that one step applies; and a run of it, as a fold over events that stands
// exactly where it was after a crash. It reads and writes OASIS CACAO 2.0.
//
// It is pure: a playbook, a run and a time in; events and what is to be done
// out. It never acts by itself.
package playbook
