/**
 * Connections that publish to rooms of their own and hear themselves, each with so many messages under way.
 * They serve to count what a server does for each message, not to time it.
 */
import type { Wire, WireConnection, WireSpec } from "../load/targets/target.ts";

/** A crowd whose connections are subscribed. */
export interface EchoCrowd extends Disposable {
  /** Publishes so many messages, and resolves when all have come back. Rejects when one is refused. */
  exchange(messages: number): Promise<void>;
}

/** The size of a crowd, and its rooms. */
export interface CrowdOptions {
  readonly connections: number;
  /** Messages that are under way on each connection. */
  readonly window: number;
  readonly body_bytes: number;
  /** The body of every message; letters when left out. */
  readonly body?: Uint8Array<ArrayBuffer>;
}

/** Opens the connections of a crowd, one after another. */
export async function openCrowd(
  wire: Wire,
  spec: WireSpec,
  { connections, window, body_bytes, body = new Uint8Array(body_bytes).fill(0x61) }: CrowdOptions,
): Promise<EchoCrowd> {
  const opened: WireConnection[] = [];
  let unsent = 0;
  let awaited = 0;
  let done = Promise.withResolvers<void>();
  const publish = (index: number) => {
    if (unsent === 0) return;
    unsent--;
    opened[index]!.publish(`echo-${index}`, body);
  };
  for (let index = 0; index < connections; index++) {
    const connection = await wire.open(spec, {
      tenant: 0,
      batch: false,
      echo: true,
      onMessage: () => {
        publish(index);
        if (--awaited === 0) done.resolve();
      },
      onProblem: (what) => done.reject(new Error(what)),
    });
    opened.push(connection);
    await connection.subscribe(`echo-${index}`);
  }
  return {
    exchange(messages) {
      unsent = awaited = messages;
      done = Promise.withResolvers();
      for (let turn = 0; turn < window; turn++) opened.forEach((_, index) => publish(index));
      return done.promise;
    },
    [Symbol.dispose]() {
      for (const connection of opened) connection.close();
    },
  };
}
