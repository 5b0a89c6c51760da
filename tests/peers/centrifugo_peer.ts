/** A client of Centrifugo's protocol in JSON that sends what no library would, and a backend of its server API. */
import assert from "node:assert/strict";
import { secretFile } from "../../shared/config/testing/secret_file.ts";
import { found, until } from "../../shared/testing/until.ts";
import type { TestBus } from "../harness/test_bus.ts";

/** A message from the Shield. */
// deno-lint-ignore no-explicit-any -- A peer's message may have any form; the test checks it.
export type Reply = any;

/** A socket, with all messages that it has received. */
export class CentrifugoPeer {
  readonly received: Reply[] = [];
  closed: CloseEvent | undefined;
  readonly opened: Promise<unknown>;
  readonly #socket: WebSocket;
  #last_id = 0;

  constructor(bus: Pick<TestBus, "url">, protocols: string[] = []) {
    this.#socket = new WebSocket(new URL("/connection/websocket", bus.url), protocols);
    this.opened = new Promise((resolve) => this.#socket.onopen = resolve);
    this.#socket.onmessage = ({ data }) =>
      void this.received.push(...data.split("\n").map((line: string) => JSON.parse(line)));
    this.#socket.onclose = (event) => this.closed = event;
  }

  get protocol(): string {
    return this.#socket.protocol;
  }

  send(...commands: unknown[]): void {
    const lines = commands.map((one) => typeof one === "string" ? one : JSON.stringify(one));
    this.#socket.send(lines.join("\n"));
  }

  sendBytes(bytes: Uint8Array<ArrayBuffer>): void {
    this.#socket.send(bytes);
  }

  async next(is: (reply: Reply) => boolean): Promise<Reply> {
    return await found(
      () => `received ${JSON.stringify(this.received)}`,
      () => this.received.find(is),
    );
  }

  reply(id: number): Promise<Reply> {
    return this.next((reply) => reply.id === id);
  }

  /** Sends a command with an id of its own. */
  async ask(command: object): Promise<Reply> {
    const id = ++this.#last_id;
    this.send({ id, ...command });
    return await this.reply(id);
  }

  async end(): Promise<[number, string]> {
    await until(`an end: ${JSON.stringify(this.received)}`, () => this.closed !== undefined);
    return [this.closed?.code ?? 0, this.closed?.reason ?? ""];
  }

  close(): void {
    this.#socket.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Opens a socket that has sent nothing yet. */
export async function openRaw(
  bus: Pick<TestBus, "url">,
  protocols?: string[],
): Promise<CentrifugoPeer> {
  const client = new CentrifugoPeer(bus, protocols);
  await client.opened;
  return client;
}

/** Opens a socket that connects with this token. */
export async function openWith(bus: Pick<TestBus, "url">, token: string): Promise<CentrifugoPeer> {
  const client = await openRaw(bus);
  const { error } = await client.ask({ connect: { token } });
  assert.equal(error, undefined, JSON.stringify(error));
  return client;
}

/** The key of a backend. */
export const KEY = "a key of a backend";

/** The entry of a tenant's key in the configuration. */
export const apiKey = (tenant = "default", key = KEY): string =>
  `[[centrifugo.api_keys]]\ntenant = "${tenant}"\nkey_file = "${secretFile(key)}"\n`;

/** A backend's request, and its answer. */
export async function order(
  http_url: string,
  method: string,
  params: unknown,
  key = KEY,
): Promise<Reply> {
  const body = JSON.stringify(params);
  const request = { method: "POST", headers: { "x-api-key": key }, body };
  return await (await fetch(new URL(`/api/${method}`, http_url), request)).json();
}
