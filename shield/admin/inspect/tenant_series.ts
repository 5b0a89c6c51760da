/**
 * Which tenants have series of their own on /metrics: a fixed number of those with the most messages; all others share
 * `tenant="_other"`. `tenant_stats.ts` has the numbers.
 *
 * A tenant keeps its series until another has half as many messages again, so that two similar ones do not alternate. A
 * new series starts at 0, since earlier counts are in `_other`. When a tenant loses its series, the series ends, and
 * later counts are in `_other`. So no counter ever falls, and every message is counted in one series.
 */
import { Gauge, type Registry } from "prom-client";
import { scrapedCounters } from "../../../shared/metrics/metrics_plain.ts";
import { OTHER_TENANTS, type TenantTable, type TenantTotals } from "../../stats/tenant_stats.ts";

type Counted = Exclude<keyof TenantTotals, "connections">;

const COUNTERS: Record<Counted, [name: string, help: string]> = {
  ingress_messages: [
    "shield_tenant_ingress_messages_total",
    "Messages and commands received, by tenant: those with most messages, all others as _other.",
  ],
  ingress_bytes: [
    "shield_tenant_ingress_bytes_total",
    "Bytes received in frames and HTTP bodies, by tenant as in the messages received.",
  ],
  egress_messages: [
    "shield_tenant_egress_messages_total",
    "Messages delivered to subscribers, by tenant as in the messages received.",
  ],
  rejects: ["shield_tenant_rejects_total", "Refusals, by tenant as in the messages received."],
};
const COUNTED = Object.keys(COUNTERS) as Counted[];
/** The factor by which a newcomer's messages must exceed those of the tenant that it displaces. */
const MARGIN = 1.5;

/** The values of one series. */
type TenantSample = Readonly<TenantTotals>;

interface Listed {
  readonly tenant_id: string;
  readonly totals: TenantTotals;
  /** The tenant's counts before it got its place. */
  readonly base: TenantTotals;
}

const zero = (): TenantTotals => ({
  connections: 0,
  ingress_messages: 0,
  ingress_bytes: 0,
  egress_messages: 0,
  rejects: 0,
});

const messagesOf = (totals: TenantTotals) => totals.ingress_messages + totals.egress_messages;

interface Candidate {
  readonly tenant_id: string;
  readonly weight: number;
}

/** The `size` largest, largest first. */
const largest = (candidates: Candidate[], size: number) =>
  candidates.sort((one, other) => other.weight - one.weight).slice(0, size);

/** The tenants with series, kept from scrape to scrape. */
export class TenantSeries {
  readonly #table: Pick<TenantTable, "entries" | "of">;
  readonly #series_max: number;
  readonly #listed = new Map<string, Listed>();
  /** The counts of tenants that lost their series, from the time when they had it. */
  readonly #ended = zero();

  constructor(table: Pick<TenantTable, "entries" | "of">, series_max: number) {
    this.#table = table;
    this.#series_max = series_max;
  }

  /** The samples of this moment, `_other` included. Takes one pass over all tenants; only the largest are sorted. */
  read(): Map<string, TenantSample> {
    const all = zero();
    let candidates: Candidate[] = [];
    let floor = this.#floor();
    for (const [tenant_id, totals] of this.#table.entries()) {
      // The members are named one by one, since this runs for each of 100,000 tenants.
      all.connections += totals.connections;
      all.ingress_messages += totals.ingress_messages;
      all.ingress_bytes += totals.ingress_bytes;
      all.egress_messages += totals.egress_messages;
      all.rejects += totals.rejects;
      const weight = messagesOf(totals);
      if (weight <= floor || tenant_id === OTHER_TENANTS || this.#listed.has(tenant_id)) continue;
      candidates.push({ tenant_id, weight });
      if (candidates.length < 2 * this.#series_max) continue;
      candidates = largest(candidates, this.#series_max);
      floor = candidates.at(-1)!.weight;
    }
    this.#give(largest(candidates, this.#series_max));
    return this.#samples(all);
  }

  /** The number of messages above which a tenant gets a place. */
  #floor(): number {
    if (this.#listed.size < this.#series_max) return -1;
    let least = Infinity;
    for (const { totals } of this.#listed.values()) least = Math.min(least, messagesOf(totals));
    return MARGIN * least;
  }

  #give(candidates: readonly Candidate[]): void {
    // The weakest is the last, as it is displaced first.
    const places = [...this.#listed.values()].sort((one, other) =>
      messagesOf(other.totals) - messagesOf(one.totals)
    );
    for (const { tenant_id, weight } of candidates) {
      if (this.#listed.size >= this.#series_max) {
        const weakest = places.pop();
        if (weakest === undefined || weight <= MARGIN * messagesOf(weakest.totals)) return;
        this.#end(weakest);
      }
      const totals = this.#table.of(tenant_id);
      this.#listed.set(tenant_id, { tenant_id, totals, base: { ...totals } });
    }
  }

  #end({ tenant_id, totals, base }: Listed): void {
    this.#listed.delete(tenant_id);
    for (const key of COUNTED) this.#ended[key] += totals[key] - base[key];
  }

  #samples(all: TenantTotals): Map<string, TenantSample> {
    const samples = new Map<string, TenantSample>();
    for (const key of COUNTED) all[key] -= this.#ended[key];
    for (const { tenant_id, totals, base } of this.#listed.values()) {
      const sample = { ...totals };
      for (const key of COUNTED) sample[key] -= base[key];
      all.connections -= sample.connections;
      for (const key of COUNTED) all[key] -= sample[key];
      samples.set(tenant_id, sample);
    }
    return samples.set(OTHER_TENANTS, all);
  }
}

/** Publishes the series; a scrape reads the table once for all families. */
export function registerTenantSeries(
  table: Pick<TenantTable, "entries" | "of">,
  series_max: number,
  registry: Registry,
): void {
  const series = new TenantSeries(table, series_max);
  const labels = ["tenant"];
  let samples = new Map<string, TenantSample>();
  const each = (key: keyof TenantTotals) =>
    [...samples].map(([tenant, sample]) => [{ tenant }, sample[key]] as const);
  const help = "Open WebSocket connections, by tenant as in shield_tenant_ingress_messages_total.";
  scrapedCounters(registry, "shield_tenant_connections", help, labels, () => {
    // This is the first family of the table on the page; the others use its reading.
    samples = series.read();
    return each("connections");
  }, Gauge);
  for (const key of COUNTED) {
    const [name, help] = COUNTERS[key];
    scrapedCounters(registry, name, help, labels, () => each(key));
  }
}
