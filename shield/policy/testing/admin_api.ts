/** The admin API over a real registry on the embedded Spine, as requests and answers. Tests only. */
import assert from "node:assert/strict";
import { keptLog } from "../../../shared/testing/logs.ts";
import { adminRequest, askPart, operator } from "../../admin/routing/testing/admin.ts";
import { testSpine } from "../../testing/spine.ts";
import { POLICY_ROUTES, type PolicyAdminContext } from "../admin_api.ts";
import { LogFollowers, LogMemory } from "../logs/policy_logs.ts";
import type { Hook } from "../../../shared/records/verdict.ts";
import { openQuarantine, type Quarantine } from "../modules/quarantine.ts";
import { checkModule, tinyModule } from "./modules.ts";
import { type TestRegistry, testRegistry } from "./registry.ts";

/** An answer: its status, its headers and its JSON, whatever that is. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // deno-lint-ignore no-explicit-any -- the tests know its content
  readonly body: any;
}

/** The API and its parts. */
export interface Api extends AsyncDisposable {
  readonly one: TestRegistry;
  readonly context: PolicyAdminContext;
  readonly followers: LogFollowers;
  readonly memory: LogMemory;
  readonly quarantine: Quarantine;
  readonly lines: string[];
  request(method: string, path: string, body?: unknown, type?: string): Promise<Response>;
  ask(method: string, path: string, body?: unknown, type?: string): Promise<Answer>;
  /** Uploads tiny module `number`; resolves with its sha256. */
  upload(number: number, hooks?: readonly Hook[]): Promise<string>;
}

/** Starts an API, which ends with its scope. */
export async function startApi(): Promise<Api> {
  const engine = testSpine();
  const one = await testRegistry(engine.spine);
  const followers = new LogFollowers(Date.now);
  const { log, lines } = keptLog({ level: "info" });
  const quarantine = await openQuarantine({
    spine: engine.spine,
    log,
    now: () => 1_000,
    node: "shield-1",
    onAdded: () => {},
    onReleased: () => {},
  });
  const isStateful = () => undefined;
  const sweep = { makeRoom: () => Promise.resolve() };
  const base = { registry: one.registry, check: checkModule, quarantine, isStateful, sweep };
  const memory = new LogMemory({ lines_max: 100, now: Date.now });
  const context = { ...base, followers, memory, log, now: Date.now };
  const request: Api["request"] = (...args) =>
    askPart(POLICY_ROUTES, context, adminRequest(...args), operator("ops"));
  const ask: Api["ask"] = async (...args) => {
    const answer = await request(...args);
    return { status: answer.status, headers: answer.headers, body: await answer.json() };
  };
  return {
    one,
    context,
    followers,
    memory,
    quarantine,
    lines,
    request,
    ask,
    async upload(number, hooks) {
      const bytes = tinyModule(number, hooks);
      const { status, body } = await ask("PUT", "/v1/policies/modules", bytes, "application/wasm");
      assert.equal(status, 200, JSON.stringify(body));
      return body.sha256;
    },
    async [Symbol.asyncDispose]() {
      one[Symbol.dispose]();
      await quarantine.close(1_000);
      await engine[Symbol.asyncDispose]();
    },
  };
}
