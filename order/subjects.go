package order

import "strings"

// A gateway that has a credential of its own speaks in its own name: it puts that
// name behind the subject ("andon.beat.gw-2"), and the bus lets it publish there
// and nowhere else. Who comes with the shared token speaks on the plain subjects,
// and is believed for names alone that nobody has a credential for.

// told are the subjects on which gateways tell and ask; heard those on which they
// listen.
var (
	told  = []string{SubjectSync, SubjectBeat, SubjectAck, SubjectEmergency, SubjectHold, SubjectWorkChanged, SubjectList, SubjectLinked, SubjectAcknowledge, SubjectConsistency, SubjectSuccessions, SubjectUsage, SubjectVouched}
	heard = []string{SubjectOrder, SubjectExplain, SubjectLive, SubjectRelease, SubjectWorks, SubjectSuccession, SubjectSnapshot, SubjectUsage, Named(SubjectUsage, "*"), SubjectVouched, Named(SubjectVouched, "*")}
)

// Told lists the subjects on which gateways speak.
func Told() []string { return told }

// Named is a subject on which one gateway speaks, in its own name.
func Named(subject, gateway string) string { return subject + "." + gateway }

// Speaker is the gateway in whose name something came on a subject; "" on the
// plain one.
func Speaker(subject, on string) string {
	name, _ := strings.CutPrefix(strings.TrimPrefix(subject, on), ".")
	return name
}

// Inbox is where the answers to a party's questions go.
func Inbox(party string) string { return "_INBOX." + party }

// OwnSubjects are those on which a gateway with a credential of its own may
// publish and listen.
func OwnSubjects(gateway string) (publish, subscribe []string) {
	for _, s := range told {
		publish = append(publish, Named(s, gateway))
	}
	// Answers to the control plane carry the name, too.
	publish = append(publish, Named(Inbox("control")+".*", gateway))
	return publish, append([]string{Inbox(gateway) + ".>", Named(SubjectSnapshot, gateway)}, heard...)
}

// Reserved reports whether no gateway may have a credential under this name: the
// inbox that goes with it is the control plane's.
func Reserved(gateway string) bool { return strings.EqualFold(gateway, "control") }

// SharedSubjects are those of gateways that come with the shared token. Their
// inboxes have no names of their own, so they could listen to each other's; they
// hear nothing of what goes to the control plane, or to who has a credential.
func SharedSubjects() (publish, subscribe, deaf []string) {
	return append([]string{"_INBOX.*", Inbox("control") + ".*"}, told...),
		append([]string{"_INBOX.*.*", Named(SubjectSnapshot, "*")}, heard...),
		[]string{Inbox("control") + ".>", "_INBOX.*.*.>"}
}
