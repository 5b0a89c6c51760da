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

type View<Context> = (
  settings: TenantSettings,
  context: Context,
  tenant: string,
) => object | Promise<object>;

/** The tenant that a request is about, and its user. */
interface Asked {
  readonly tenant: string;
  readonly by: string;
}

/** The section `name`, `what` in the log; `viewOf` has it as the answers do, whatever it reads for that. */
export class Section<
  Name extends keyof TenantSettings,
  Context extends SectionContext = SectionContext,
> {
  readonly #name: Name;
  readonly #what: string;
  readonly #viewOf: View<Context>;

  constructor(name: Name, what: string, viewOf: View<Context>) {
    this.#name = name;
    this.#what = what;
    this.#viewOf = viewOf;
  }

  async show(context: Context, tenant: string): Promise<Response> {
    const { settings, node_id } = context;
    const view = await this.#view(context, tenant, await settings.read(tenant));
    const { version } = settings.get(tenant);
    const here = { node_id, version, problem: settings.problem(tenant) ?? null };
    return Response.json({ tenant, ...view, here });
  }

  /** Writes nothing if the section stays the same. Rejects as `Settings.change`. */
  async change(
    context: Context,
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
    context: Context,
    { tenant, by }: Asked,
    stored: StoredSettings,
    changed: boolean,
  ): Promise<Response> {
    const { settings, log, node_id } = context;
    const { settings: { version }, revision } = stored;
    if (changed) {
      log.info(`a tenant's ${this.#what} were changed`, { tenant_id: tenant, version, by });
    }
    const in_force = revision === 0 || await settings.reached(tenant, revision, IN_FORCE_MS);
    const view = await this.#view(context, tenant, stored);
    return Response.json({ tenant, changed, ...view, here: { node_id, in_force } });
  }

  async #view(context: Context, tenant: string, { settings, revision }: StoredSettings) {
    const { version, by, changed_ms } = settings;
    const view = await this.#viewOf(settings, context, tenant);
    return { version, revision, by, changed_ms, ...view };
  }
}
