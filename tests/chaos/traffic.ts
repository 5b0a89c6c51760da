/**
 * The messages of a chaos run: publishers and listeners of plain rooms in several tenants with the same
 * room names, and of durable rooms beside them. It keeps them going while others are hurt, waits until
 * everybody has what is to come, and has all of it judged.
 */
import { pace } from "../../shared/testing/pace.ts";
import { becomes, until } from "../../shared/testing/until.ts";
import type { Issuer } from "../harness/cluster.ts";
import type { Random } from "../presence_simulation/random.ts";
import { DurableTraffic } from "./durable_traffic.ts";
import { checkMessages } from "./message_checker.ts";
import type { MessageVerdict } from "./message_checker.ts";
import type { MessageRecording } from "./message_recording.ts";
import { PlainListener, PlainPublisher } from "./talker.ts";
import type { TalkerOptions } from "./talker.ts";
import type { Variant } from "./variant.ts";

/** What traffic is made from. */
export interface TrafficOptions {
  readonly variant: Variant;
  readonly urls: readonly string[];
  readonly issuer: Issuer;
  readonly random: Random;
  readonly onSurprise: (text: string) => void;
}

/** What is left to say when it is over. */
export interface TrafficOutcome {
  readonly violations: readonly string[];
  readonly report: readonly string[];
  readonly recording: MessageRecording;
}

/** Their rooms have the same names. */
export const TRAFFIC_TENANTS: readonly string[] = ["acme", "zeta", "orbit"];

const ROOMS = ["talk-0", "talk-1"];
const PUBLISHERS_PER_ROOM = 2;
const LISTENERS_PER_ROOM = 3;
const TICK_MS = 20;
const LINES_MAX = 20;

const percent = (share: number) => `${(share * 100).toFixed(2)} %`;

function countsOf(counts: ReadonlyMap<string, number>): string {
  return [...counts].sort().map(([name, count]) => `${name} ${count}`).join(", ") || "none";
}

/** Made once a run. */
export class Traffic {
  readonly #options: TrafficOptions;
  readonly #publishers: PlainPublisher[] = [];
  readonly #listeners: PlainListener[] = [];
  readonly #durable: DurableTraffic;
  #connections = 0;

  constructor(options: TrafficOptions) {
    this.#options = options;
    this.#durable = new DurableTraffic(options, TRAFFIC_TENANTS.slice(0, 2));
  }

  /** Resolves when everybody is connected and subscribed. */
  async open(): Promise<void> {
    for (const tenant_id of TRAFFIC_TENANTS) {
      const token = await this.#options.issuer.tokenFor({ tenant_id, sub: "talker" });
      for (const room_id of ROOMS) this.#addRoom(tenant_id, room_id, token);
    }
    for (const talker of [...this.#publishers, ...this.#listeners]) talker.start();
    await this.#durable.open();
    await until("everybody is subscribed", () => this.#standing());
  }

  /** Publishes until the signal; resolves when the fate of every message is known or lost. */
  async run(signal: AbortSignal): Promise<void> {
    const { message_rate } = this.#options.variant;
    const durable = this.#durable.run(signal);
    const began_ms = performance.now();
    let made = 0;
    while (!signal.aborted) {
      const due = (performance.now() - began_ms) * message_rate / 1_000;
      for (; made < due; made++) this.#publishers[made % this.#publishers.length]?.publish();
      await pace(TICK_MS);
    }
    await this.#calm();
    await durable;
  }

  /** Judges; everybody has had the time to see everything when this is called. */
  async judge(): Promise<TrafficOutcome> {
    const late = await this.#durable.settle();
    const recording: MessageRecording = {
      publishes: this.#publishers.flatMap(({ publishes }) => publishes),
      listeners: this.#listeners,
    };
    const verdict = checkMessages(recording);
    const durable = this.#durable.judge();
    const { due, excused, acknowledged } = verdict.figures;
    const { excused_share } = this.#options.variant;
    const share = excused / Math.max(1, due);
    return {
      recording,
      violations: [
        ...verdict.findings.slice(0, LINES_MAX).map(({ text }) => text),
        ...(share < excused_share ? [] : [
          `GAPs excuse ${percent(share)} of the deliveries; allowed: ${percent(excused_share)}`,
        ]),
        ...(acknowledged === 0 || due === 0 ? ["no message was acknowledged"] : []),
        ...late.slice(0, LINES_MAX),
        ...durable.violations.slice(0, LINES_MAX),
      ],
      report: [...this.#report(verdict), ...durable.report],
    };
  }

  /** Recordings of the durable rooms, by tenant. */
  durableRecordings() {
    return this.#durable.recordings();
  }

  async close(): Promise<void> {
    const talkers = [...this.#publishers, ...this.#listeners];
    await Promise.all(talkers.map((talker) => talker.close()));
    await this.#durable.close();
  }

  #report({ figures }: MessageVerdict): string[] {
    const { publishes, acknowledged, repeated_attempts, deliveries, due, excused, gaps } = figures;
    const refusals = new Map<string, number>();
    for (const [reason, count] of this.#publishers.flatMap((one) => [...one.refusals])) {
      refusals.set(reason, (refusals.get(reason) ?? 0) + count);
    }
    const share = percent(excused / Math.max(1, due));
    const { excused_share } = this.#options.variant;
    return [
      `messages ${publishes} in plain rooms of ${TRAFFIC_TENANTS.length} tenants, ${acknowledged} ` +
      `acknowledged, ${repeated_attempts} sent again; refused: ${countsOf(refusals)}`,
      `         ${deliveries} deliveries, ${due} of them due, ${gaps} GAPs`,
      `excused  ${excused} deliveries by a GAP: ${share} (less than ${percent(excused_share)})`,
    ];
  }

  #addRoom(tenant_id: string, room_id: string, token: string): void {
    const { urls, random, onSurprise } = this.#options;
    const make = (name: string, index: number): TalkerOptions => ({
      name: `${tenant_id}/${room_id}/${name}${index}`,
      url: urls[this.#connections % urls.length]!,
      token,
      tenant_id,
      room_id,
      subprotocol: index % 2 === 0 ? "arqon.v1" : "arqon.v1.json",
      random: random.fork(++this.#connections),
      now: () => performance.now(),
      nextConnection: () => ++this.#connections,
      onSurprise,
    });
    for (let index = 0; index < PUBLISHERS_PER_ROOM; index++) {
      this.#publishers.push(new PlainPublisher(make("p", index)));
    }
    for (let index = 0; index < LISTENERS_PER_ROOM; index++) {
      this.#listeners.push(new PlainListener(make("l", index)));
    }
  }

  #standing(): boolean {
    return this.#publishers.every(({ connected }) => connected) &&
      this.#listeners.every(({ subscribed }) => subscribed);
  }

  /**
   * Peace has come: everybody is there, every answer, and every listener has the last message of each
   * publisher, which is sent for that.
   */
  async #calm(): Promise<void> {
    const deadline_ms = performance.now() + this.#options.variant.bound_ms;
    const within = (holds: () => boolean) => becomes(holds, deadline_ms - performance.now());
    const quiet = () => this.#publishers.every((publisher) => publisher.quiet);
    await within(() => this.#standing() && quiet());
    for (const publisher of this.#publishers) publisher.publish();
    await within(quiet);
    const lasts = this.#publishers.flatMap(({ last }) => last ?? []);
    await within(() =>
      lasts.every((last) =>
        this.#listeners.every((listener) =>
          listener.tenant_id !== last.tenant_id || listener.room_id !== last.room_id ||
          listener.has(last)
        )
      )
    );
    for (const listener of this.#listeners) listener.rest();
  }
}
