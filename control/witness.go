package control

import (
	"andon/authority"
	"andon/ledger"
)

// This room holds what the record needs to be believed by others: who has seen
// which checkpoint of the ledger, and which personal values were erased from
// beside it.

type witnessState struct {
	erased  map[string]uint64     // by commitment: the entry that says so
	keys    map[string]string     // by gateway: what it cosigns with
	outside map[string]string     // by name of a witness that somebody else runs: likewise
	alarms  map[string]string     // by gateway: what it last raised an alarm about
	forks   map[string]forkRecord // by pair of gateways
}

var witnessTable = []route{
	{"POST", "/api/v1/personal/{commitment}/erase", "personal.erase", false, (*Control).postErase},
	{"GET", "/api/v1/ledger/witnesses", "", false, (*Control).getWitnesses},
}

var witnessPermits = map[string]authority.Set{
	"personal.erase": authority.SetOf(authority.Auditor),
	"witness.read":   readers,
}

var witnessCodes = map[string]code{}

var witnessFolds = map[string]foldFunc{
	ledger.TypeErased:  foldErased,
	typeWitnessKnown:   foldKnown,
	typeWitnessAlarmed: foldAlarmed,
	typeWitnessForked:  foldForked,
}
