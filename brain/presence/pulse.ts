/**
 * The heartbeat of a Brain. It notices when the Brain itself was stalled: stopped, too busy to be on
 * time, or without a Spine. The silence of others then says nothing of them.
 */
import type { PresencePort } from "../../shared/presence/messages.ts";

/** A beat that comes more than this many heartbeats late means that this process was stalled. */
const LATE_HEARTBEATS = 2;

/** What the heartbeat needs. */
export interface PulseOptions {
  readonly port: PresencePort;
  readonly heartbeat_ms: number;
  /** Once a heartbeat while the Spine is there. */
  readonly onTick: (now_ms: number) => void;
  /** Called when this process heard nothing for `gap_ms`, before anything that has come since. */
  readonly onAway: (gap_ms: number, now_ms: number) => void;
}

/** The heartbeat. */
export class Pulse {
  readonly #options: PulseOptions;
  #ticked_ms: number;
  /** Unix ms when the Spine was lost; undefined while it is there. */
  #lost_ms: number | undefined;
  #cancel: (() => void) | undefined;

  constructor(options: PulseOptions) {
    this.#options = options;
    this.#ticked_ms = options.port.now();
  }

  /** Whether the Spine is there. */
  get connected(): boolean {
    return this.#lost_ms === undefined;
  }

  /** The first beat comes a heartbeat from now. */
  start(): void {
    this.#ticked_ms = this.#options.port.now();
    this.#schedule();
  }

  /** To be called before a message is looked at: finds out whether this process was stalled. */
  notice(now_ms: number): void {
    if (this.#lost_ms !== undefined) return;
    const gap_ms = now_ms - this.#ticked_ms;
    if (gap_ms <= (LATE_HEARTBEATS + 1) * this.#options.heartbeat_ms) return;
    this.#ticked_ms = now_ms;
    this.#options.onAway(gap_ms, now_ms);
  }

  /** Takes note that the Spine is gone. */
  lost(): void {
    this.#lost_ms ??= this.#options.port.now();
  }

  /** Takes note that the Spine is back. False when it was never gone. */
  back(): boolean {
    if (this.#lost_ms === undefined) return false;
    const now_ms = this.#options.port.now();
    const gap_ms = Math.max(0, now_ms - this.#lost_ms);
    this.#lost_ms = undefined;
    this.#ticked_ms = now_ms;
    this.#options.onAway(gap_ms, now_ms);
    return true;
  }

  /** Stops the heartbeat. */
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
