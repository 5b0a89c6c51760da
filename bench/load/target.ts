/**
 * What a benchmark can run against, and how its load reaches it: a *target* is a server with
 * processes of its own, a *wire* the protocol that a load process speaks to it. Types only.
 */

/** The target's name on the command line and in reports. */
export type TargetId =
  | "arqon"
  | "arqon-nats"
  | "deno"
  | "ws"
  | "nats-ws"
  | "centrifugo"
  | "mosquitto"
  | "socketio";

/** What a scenario may ask for; one that asks for more than a target can leaves it out, and says so. */
export type Ability = "echo" | "rooms" | "tenants" | "tls" | "batch";

/** How a scenario wants its target. */
export interface TargetOptions {
  /** Serve `wss://` with a certificate of its own. */
  readonly tls: boolean;
  /** Tenants that tokens are wanted for; at least 1. */
  readonly tenants: number;
}

/** A server that can be measured. */
export interface Target {
  readonly id: TargetId;
  /** For tables. */
  readonly title: string;
  readonly abilities: ReadonlySet<Ability>;
  /** Installs what it needs, starts it, and waits until it takes connections. Rejects with TargetUnavailable. */
  start(options: TargetOptions): Promise<RunningTarget>;
}

/** A server that takes connections; disposing of it ends all its processes. */
export interface RunningTarget extends AsyncDisposable {
  /** Of the server itself, as it says it. */
  readonly version: string;
  /** Processes whose CPU time and memory are the target's, their children included. */
  readonly pids: readonly number[];
  /** Processes that it works with, shown beside its own: the NATS server and the Brain of a bus. */
  readonly beside_pids?: readonly number[];
  readonly wire: WireSpec;
}

/** The target cannot run here; the message says what to install. */
export class TargetUnavailable extends Error {
  override readonly name = "TargetUnavailable";
}

/** Which protocol at which address; plain JSON, as it goes to load processes. */
export interface WireSpec {
  readonly protocol: "arqon" | "raw" | "nats" | "centrifugo" | "mqtt" | "socketio";
  /** `ws:` or `wss:`. */
  readonly url: string;
  /** One for each tenant, where the target knows tenants. */
  readonly tokens: readonly string[];
  /** PEM of the authority that signed its certificate; absent without TLS. */
  readonly ca?: string;
}

/** One connection's wishes. */
export interface WireOptions {
  /** Index into `tokens`. */
  readonly tenant: number;
  /** Ask for several messages in a frame, where the wire has that. */
  readonly batch: boolean;
  /** It only gets back what it publishes itself: a bare server then echoes, without any rooms. */
  readonly echo?: boolean;
  /** Each message that arrives; the bytes are good until it returns. */
  readonly onMessage: (body: Uint8Array) => void;
  /** A refusal, or the end of the connection that nobody asked for. */
  readonly onProblem: (what: string) => void;
}

/** A protocol: one implementation for each `WireSpec.protocol`. */
export interface Wire {
  /** Resolves when the server has greeted (what a user calls connected). */
  open(spec: WireSpec, options: WireOptions): Promise<WireConnection>;
}

/** One connection of a load process. */
export interface WireConnection {
  /** Resolves when messages to the room will arrive. */
  subscribe(room: string): Promise<void>;
  /** Fire and forget; `body` is copied or written before it returns. A publisher that subscribed hears itself. */
  publish(room: string, body: Uint8Array): void;
  close(): void;
}
