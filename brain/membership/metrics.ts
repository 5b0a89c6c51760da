/** The metrics of journals of members. Labels come from closed sets. */
import { Counter, Gauge } from "../../shared/metrics/metrics.ts";
import type { Registry } from "../../shared/metrics/metrics.ts";

/** The metrics of journals. */
export interface MembershipMetrics {
  /** `type`: joined, left, occupied, vacated, present or missed. */
  readonly entries: Counter<"type">;
  readonly failures: Counter;
  readonly dropped: Counter;
}

/** Creates them; the functions are called on a scrape. */
export function createMembershipMetrics(
  registry: Registry,
  rooms: () => number,
  waiting: () => number,
  kept: () => number,
  classes_hash: () => number,
): MembershipMetrics {
  const registers = [registry];
  new Gauge({
    name: "brain_room_classes_hash",
    help:
      "A number for the [[rooms]] of this Brain's configuration: those with others have another.",
    registers,
    collect() {
      this.set(classes_hash());
    },
  });
  new Gauge({
    name: "brain_membership_rooms",
    help: "Rooms whose journal of members this Brain writes.",
    registers,
    collect() {
      this.set(rooms());
    },
  });
  new Gauge({
    name: "brain_membership_waiting",
    help: "Connections that came or went and do not stand in their room's journal yet.",
    registers,
    collect() {
      this.set(waiting());
    },
  });
  new Gauge({
    name: "brain_membership_kept",
    help:
      "Stays that this Brain keeps until it hears that they stand in their room's journal; at most 10,000.",
    registers,
    collect() {
      this.set(kept());
    },
  });
  return {
    entries: new Counter({
      name: "brain_membership_entries_total",
      help: "What was written into journals of members, by type.",
      labelNames: ["type"],
      registers,
    }),
    failures: new Counter({
      name: "brain_membership_failures_total",
      help: "How often a journal of members could not be read or written; it is tried again.",
      registers,
    }),
    dropped: new Counter({
      name: "brain_membership_dropped_total",
      help:
        "Stays on Shields that are gone which were too many to be kept; the journal has their number.",
      registers,
    }),
  };
}
