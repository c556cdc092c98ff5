package control

import (
	"andon/authority"
	"andon/ledger"
)

// This room holds what the record needs to be believed by others: who has seen
// which checkpoint of the ledger, and which personal values were erased from
// beside it.

type witnessState struct {
	erased map[string]uint64 // by commitment: the entry that says so
}

var witnessTable = []route{
	{"POST", "/api/v1/personal/{commitment}/erase", "personal.erase", false, (*Control).postErase},
}

var witnessPermits = map[string]authority.Set{
	"personal.erase": authority.SetOf(authority.Auditor),
}

var witnessCodes = map[string]code{}

var witnessFolds = map[string]foldFunc{
	ledger.TypeErased: foldErased,
}
