/** The metrics of journals of members. Labels come from closed sets. */
import { metricsOn, type Registry, scrapedGauge } from "../../shared/metrics/metrics.ts";

/** The metrics of journals. */
export type MembershipMetrics = ReturnType<typeof createMembershipMetrics>;

/** Creates them; the functions are called on a scrape. */
export function createMembershipMetrics(
  registry: Registry,
  rooms: () => number,
  waiting: () => number,
  kept: () => number,
) {
  const scraped = (name: string, help: string, read: () => number) =>
    scrapedGauge(registry, name, help, read);
  scraped("brain_membership_rooms", "Rooms whose journal of members this Brain writes.", rooms);
  scraped(
    "brain_membership_waiting",
    "Connections that came or went and do not stand in their room's journal yet.",
    waiting,
  );
  scraped(
    "brain_membership_kept",
    "Stays that this Brain keeps until it hears that they stand in their room's journal; at most 10,000.",
    kept,
  );
  const { counter } = metricsOn(registry);
  return {
    // `type`: joined, left, occupied, vacated, present or missed.
    entries: counter(
      "brain_membership_entries_total",
      "What was written into journals of members, by type.",
      "type",
    ),
    failures: counter(
      "brain_membership_failures_total",
      "How often a journal of members could not be read or written; it is tried again.",
    ),
    dropped: counter(
      "brain_membership_dropped_total",
      "Stays on Shields that are gone which were too many to be kept; the journal has their number.",
    ),
  };
}
