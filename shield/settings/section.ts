/** A section of tenants' settings on the admin API: shown, and changed until the change is in force in this process. */
import type { Env } from "../../shared/env.ts";
import type { TenantSettings } from "../../shared/records/tenant_settings.ts";
import type { Settings, StoredSettings } from "./settings.ts";

/** How long an answer waits until its change is in force in this process, in ms. */
const IN_FORCE_MS = 5_000;

interface SectionContext extends Pick<Env, "log"> {
  readonly settings: Settings;
  readonly node_id?: string;
}

/** The tenant that a request is about, and its user. */
interface Asked {
  readonly tenant: string;
  readonly by: string;
}

/** The section `name`, `what` in the log; `viewOf` has it as the answers do. */
export class Section<Name extends keyof TenantSettings> {
  readonly #name: Name;
  readonly #what: string;
  readonly #viewOf: (settings: TenantSettings) => object;

  constructor(name: Name, what: string, viewOf: (settings: TenantSettings) => object) {
    this.#name = name;
    this.#what = what;
    this.#viewOf = viewOf;
  }

  async show({ settings, node_id }: SectionContext, tenant: string): Promise<Response> {
    const stored = await settings.read(tenant);
    const { version } = settings.get(tenant);
    const here = { node_id, version, problem: settings.problem(tenant) ?? null };
    return Response.json({ tenant, ...this.#view(stored), here });
  }

  /** Writes nothing if the section stays the same. Rejects as `Settings.change`. */
  async change(
    context: SectionContext,
    asked: Asked,
    change: (section: TenantSettings[Name]) => TenantSettings[Name],
  ): Promise<Response> {
    let changed = false;
    const stored = await context.settings.change(asked.tenant, asked.by, (before) => {
      const section = change(before[this.#name]);
      changed = JSON.stringify(section) !== JSON.stringify(before[this.#name]);
      return changed ? { ...before, [this.#name]: section } : before;
    });
    return await this.written(context, asked, stored, changed);
  }

  /** The answer to a change: what is stored, and whether it is in force in this process. */
  async written(
    { settings, log, node_id }: SectionContext,
    { tenant, by }: Asked,
    stored: StoredSettings,
    changed: boolean,
  ): Promise<Response> {
    const { settings: { version }, revision } = stored;
    if (changed) {
      log.info(`a tenant's ${this.#what} were changed`, { tenant_id: tenant, version, by });
    }
    const in_force = revision === 0 || await settings.reached(tenant, revision, IN_FORCE_MS);
    return Response.json({ tenant, changed, ...this.#view(stored), here: { node_id, in_force } });
  }

  #view({ settings, revision }: StoredSettings) {
    const { version, by, changed_ms } = settings;
    return { version, revision, by, changed_ms, ...this.#viewOf(settings) };
  }
}
