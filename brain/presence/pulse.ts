/**
 * The heartbeat of a Brain. It detects that the Brain itself was stalled: suspended, too busy, or without a Spine. Then
 * the silence of others does not mean that they are down.
 */
import type { PresencePort } from "../../shared/presence/messages.ts";

/** A beat that is more than this many heartbeats late means that this process was stalled. */
const LATE_HEARTBEATS = 2;

interface PulseOptions {
  readonly port: PresencePort;
  readonly heartbeat_ms: number;
  /** Called once a heartbeat while the Spine is connected. */
  readonly onTick: (now_ms: number) => void;
  /** Called when this process received nothing for `gap_ms`, before any message received since. */
  readonly onAway: (gap_ms: number, now_ms: number) => void;
}

/** The heartbeat. */
export class Pulse {
  readonly #options: PulseOptions;
  #ticked_ms: number;
  /** Unix ms when the Spine was lost; undefined while connected. */
  #lost_ms: number | undefined;
  #cancel: (() => void) | undefined;

  constructor(options: PulseOptions) {
    this.#options = options;
    this.#ticked_ms = options.port.now();
  }

  /** Whether the Spine is connected. */
  get connected(): boolean {
    return this.#lost_ms === undefined;
  }

  /** The first beat comes a heartbeat from now. */
  start(): void {
    this.#ticked_ms = this.#options.port.now();
    this.#schedule();
  }

  /** Call it before handling a message: detects whether this process was stalled. */
  notice(now_ms: number): void {
    if (this.#lost_ms !== undefined) return;
    const gap_ms = now_ms - this.#ticked_ms;
    if (gap_ms <= (LATE_HEARTBEATS + 1) * this.#options.heartbeat_ms) return;
    this.#ticked_ms = now_ms;
    this.#options.onAway(gap_ms, now_ms);
  }

  lost(): void {
    this.#lost_ms ??= this.#options.port.now();
  }

  /** Records that the Spine is restored. False if it was not lost. */
  back(): boolean {
    if (this.#lost_ms === undefined) return false;
    const now_ms = this.#options.port.now();
    const gap_ms = Math.max(0, now_ms - this.#lost_ms);
    this.#lost_ms = undefined;
    this.#ticked_ms = now_ms;
    this.#options.onAway(gap_ms, now_ms);
    return true;
  }

  close(): void {
    this.#cancel?.();
  }

  #schedule(): void {
    const { port, heartbeat_ms } = this.#options;
    this.#cancel = port.after(heartbeat_ms, this.#tick);
  }

  #tick = (): void => {
    const now_ms = this.#options.port.now();
    this.notice(now_ms);
    this.#ticked_ms = now_ms;
    this.#schedule();
    if (this.connected) this.#options.onTick(now_ms);
  };
}
