/**
 * A class of rooms that is deployed to, as its admin and the callers of its rooms see it, wherever it runs: one process
 * or a cluster. It deploys the poll over the counter, two programs that know other commands; it kills nobody.
 */
import assert from "node:assert/strict";
import { connect } from "@arqon/sdk";
import { reduced } from "@arqon/sdk/reducers";
import { fileURLToPath } from "node:url";
import { sha256Hex } from "../../shared/sha256.ts";
import { found } from "../../shared/testing/until.ts";

/** The path of a module of a reducer that this repository has the source of. */
export const built = (name: string): string =>
  fileURLToPath(new URL(`../../policies/build/reducers/${name}.wasm`, import.meta.url));

/** Rooms of the class `count-*` that are called. */
export const ROOMS = ["count-1", "count-2", "count-3"];

/** What the class has. */
export interface DeployedClass {
  readonly number: number;
  readonly current: { readonly module: string };
  readonly before: readonly { readonly module: string }[];
  readonly modules: readonly string[];
}

/** Where a bus is, as long as it runs. */
export interface BusAddress {
  readonly url: string;
  readonly admin_url: string;
}

/** The class as an admin of its tenant sees it. */
export class ClassAdmin {
  readonly #token: string;
  readonly #tenant_id: string;
  bus!: BusAddress;

  constructor(token: string, tenant_id: string) {
    this.#token = token;
    this.#tenant_id = tenant_id;
  }

  get flags(): string[] {
    return ["--admin-url", this.bus.admin_url, "--token", this.#token];
  }

  async #fetch(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = { authorization: `Bearer ${this.#token}`, ...init.headers };
    const response = await fetch(`${this.bus.admin_url}/v1/${path}`, { ...init, headers });
    if (!response.ok) assert.fail(`${response.status} ${await response.text()}`);
    return response;
  }

  async #class(path = "", init?: RequestInit): Promise<DeployedClass> {
    return (await (await this.#fetch(`tenants/${this.#tenant_id}/reducers/count-*${path}`, init))
      .json())
      .reducer;
  }

  see = (): Promise<DeployedClass> => this.#class();
  rollBack = (): Promise<DeployedClass> => this.#class("/rollback", { method: "POST" });

  async deploy(file: string): Promise<DeployedClass> {
    const headers = { "content-type": "application/wasm" };
    return await this.#class("", { method: "PUT", body: await Deno.readFile(file), headers });
  }

  /** What the class has, of which every module is stored as it was sent. */
  async whole(): Promise<DeployedClass> {
    const view = await this.see();
    for (const module of new Set([view.current, ...view.before].map((one) => one.module))) {
      if (module === "") continue;
      const stored = await this.#fetch(`rooms/${this.#tenant_id}/count-1/reducer/module-${module}`);
      assert.equal(await sha256Hex(await stored.bytes()), module);
    }
    return view;
  }
}

/** Every room answers as the one program does that the class has: the poll knows no `add`, the counter does. */
export async function requireOneProgram(
  admin: ClassAdmin,
  token: string,
  poll: string,
): Promise<void> {
  await using client = await connect({ url: admin.bus.url, token });
  for (const id of ROOMS) {
    const room = reduced<{ add: [number, number] }>(client.room(id));
    await found(`${id} as its class is`, async () => {
      const { current } = await admin.whole();
      const is_poll = await room.call("add", 1, { timeout_ms: 60_000 }).then(
        () => false,
        ({ message }) => (assert.match(message, /no command add/), true),
      );
      return is_poll === (current.module === poll) || undefined;
    });
  }
}
