/**
 * One site of a production setup on this machine: three NATS servers, two Brains and two Shields with the files of
 * `deploy/kubernetes`, and an operator's changes from docs/deploy.md: the issuer, a Valkey for quotas, a collector for
 * telemetry. Starts and ends processes; judges nothing.
 */
import { importJWK, SignJWT } from "@panva/jose";
import { ensureDevKeys } from "../../deploy/docker/dev_keys.ts";
import type { ServerProcess } from "../harness/cluster.ts";
import { changed, mountNats, moved, startAgain, startNatsPods } from "../deployed_files.ts";
import type { NatsMore, NatsPod, NatsUser } from "../deployed_files.ts";

/** What Secrets and other pods provide to every site. */
export interface Surroundings {
  /** Folder of all mounted and stored files. */
  readonly dir: string;
  /** Of Valkey, and the file with its password. */
  readonly quota: { readonly url: string; readonly password_file: string };
  /** Of the collector, and the file with its required headers. */
  readonly telemetry: { readonly url: string; readonly headers_file: string };
  /** The tenant with a quota of messages per second, across all Shields. */
  readonly small_tenant: { readonly name: string; readonly messages_per_second: number };
}

/** The issuer of tokens in `shield.toml`. */
const ISSUER = "https://issuer.example";
const NATS_URL = '"tls://nats:4222"';

/** Makes the issuer's keys in `dir`; tokens for an hour. */
export async function openIssuer(dir: string) {
  await ensureDevKeys(dir, dir);
  const jwk = JSON.parse(await Deno.readTextFile(`${dir}/arqon-private.jwk.json`));
  const key = await importJWK(jwk, "RS256");
  return (claims: Record<string, string>): Promise<string> =>
    new SignJWT({ tenant_id: "acme", role: "user", sub: "ann", ...claims })
      .setProtectedHeader({ alg: "RS256", kid: jwk.kid }).setIssuer(ISSUER).setAudience("arqon")
      .setExpirationTime("1h").sign(key);
}

/** The URLs of NATS, as `urls` of a configuration. */
const urlsOf = (pods: readonly NatsPod[]) =>
  pods.map(({ server }) => JSON.stringify(server.url.replace("nats://", "tls://"))).join(", ");

/** Enables the commented-out lines for quotas and telemetry, with local addresses. */
function withRemarks(text: string, { quota, telemetry, small_tenant }: Surroundings): string {
  const open = text.replaceAll(
    /^# (?=\[quota\]|\[telemetry\]|url = |password_file = |otlp_url = |headers_file = )/gm,
    "",
  );
  const { name, messages_per_second } = small_tenant;
  const small =
    `[[quota.tenants]]\ntenant = "${name}"\nmessages_per_second = ${messages_per_second}\n`;
  return changed("kubernetes/shield.toml", open, [
    ["redis://valkey:6379", quota.url],
    ["/etc/arqon/quota/password", quota.password_file],
    ["[telemetry]\n", `${small}[telemetry]\n#constant telemetry.metrics_interval_ms = 1_000\n`],
    ["http://otel-collector.monitoring:4318", telemetry.url],
    ["/etc/arqon/telemetry/headers", telemetry.headers_file],
  ]);
}

/** A site, and what can happen to it. */
export class Site implements AsyncDisposable {
  readonly pods: readonly NatsPod[];
  readonly #around: Surroundings;
  readonly #shields: (ServerProcess | undefined)[] = [undefined, undefined];
  readonly #brains: (ServerProcess | undefined)[] = [undefined, undefined];

  private constructor(around: Surroundings, pods: readonly NatsPod[]) {
    this.#around = around;
    this.pods = pods;
  }

  /** Its NATS servers; no bus yet. `moreOf` is added to the configuration of each. */
  static async open(around: Surroundings, moreOf?: (at: number) => NatsMore): Promise<Site> {
    return new Site(around, await startNatsPods(around.dir, moreOf));
  }

  /** For the Ingress. */
  get shield_urls(): string[] {
    return this.shields.map(({ ready }) => ready.url ?? "");
  }

  get shields(): ServerProcess[] {
    return this.#shields.filter((one) => one !== undefined);
  }

  get brains(): ServerProcess[] {
    return this.#brains.filter((one) => one !== undefined);
  }

  /** Starts Brains, then Shields, as soon as NATS accepts them. */
  async startBus(): Promise<void> {
    await Promise.all([0, 1].map((at) => this.startBrain(at)));
    await Promise.all([0, 1].map((at) => this.startShield(at)));
  }

  async startBrain(at: number): Promise<void> {
    const { dir, telemetry } = this.#around;
    const nats = ["/etc/arqon/nats", await mountNats(dir, "brain")] as const;
    const text = moved("kubernetes/brain.toml", [
      [NATS_URL, urlsOf(this.pods)],
      ['"json"', '"logfmt"'],
      nats,
    ]);
    const expected =
      `\n[telemetry]\notlp_url = "${telemetry.url}"\nheaders_file = "${telemetry.headers_file}"\n` +
      "#constant telemetry.metrics_interval_ms = 1_000\n";
    this.#brains[at] = await startAgain("brain", `${text}${expected}`, dir);
  }

  async startShield(at: number): Promise<void> {
    const { dir } = this.#around;
    const text = moved("kubernetes/shield.toml", [
      [NATS_URL, urlsOf(this.pods)],
      ['"json"', '"logfmt"'],
      ["/etc/arqon/nats", await mountNats(dir, "shield")],
      ["/etc/arqon/issuer/jwks.json", `${dir}/arqon-jwks.json`],
    ]);
    this.#shields[at] = await startAgain("shield", withRemarks(text, this.#around), dir);
  }

  /** Stops one orderly, as a rollout does; rejects unless it exits with 0. */
  async stop(part: "shield" | "brain", at: number): Promise<void> {
    const all = part === "shield" ? this.#shields : this.#brains;
    const server = all[at];
    if (server === undefined) throw new RangeError(`${part} ${at} does not run`);
    all[at] = undefined;
    const { code } = await server.stop();
    if (code !== 0) throw new Error(`${part} ${at} ended with ${code}:\n${server.log()}`);
  }

  /** Writes a configuration of `deploy/kubernetes` for `arq`, with the paths of the mounts; returns its path. */
  async configure(file: string, user: NatsUser): Promise<string> {
    const { dir } = this.#around;
    const text = moved(`kubernetes/${file}`, [
      [NATS_URL, urlsOf(this.pods)],
      ["/etc/arqon/nats", await mountNats(dir, user)],
    ]);
    const path = `${dir}/${file}`;
    await Deno.writeTextFile(path, text);
    return path;
  }

  /** Loses the whole site at once: every process is killed. Resolves with the Unix ms from which on none answers. */
  async destroy(): Promise<number> {
    const servers = [...this.shields, ...this.brains];
    this.#shields.fill(undefined);
    this.#brains.fill(undefined);
    await Promise.all([
      ...servers.map((server) => server.stop("SIGKILL")),
      ...this.pods.map(({ server }) => server.kill()),
    ]);
    return Date.now();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.shields, ...this.brains].map((server) => server.stop()));
    await Promise.all(this.pods.map(({ server }) => server[Symbol.asyncDispose]()));
  }
}
