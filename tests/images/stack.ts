/**
 * The services of compose.yaml that we have images or programs for, each as a container with the file's order,
 * networks, mounts, users and health checks. Named volumes are folders below `dir`.
 */
import { until } from "../../shared/testing/until.ts";
import { ROOT } from "../../tasks/checkout/source_files.ts";
import { readServices } from "../compose_stand_in/model.ts";
import { type Buildah, type Image, must, openImage } from "./buildah.ts";
import { Container, makeRoot, type Mount, type Root } from "./container.ts";
import { addressOf, hostsOf, makeNetworks, type Networks } from "./network.ts";

/** Our services, and those with a stand-in. Grafana, Jaeger, Prometheus and the exporters have none. */
const NAMES = ["keys", "nats", "valkey", "brain", "shield", "arq"];
/** Only a service that never becomes healthy takes longer. */
const HEALTHY_MS = 300_000;

async function isThere(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

/** Started containers by service. */
export class Stack {
  readonly services = readServices(`${ROOT}compose.yaml`, {});
  readonly containers = new Map<string, Container>();
  readonly #images = new Map<string, Image>();
  readonly #roots = new Map<string, Root>();
  readonly #buildah: Buildah;
  readonly #dir: string;
  readonly #networks: Networks = Object.fromEntries(
    NAMES.map((name) => [name, this.services[name].networks ?? []]),
  );

  constructor(buildah: Buildah, dir: string) {
    this.#buildah = buildah;
    this.#dir = dir;
  }

  /** Makes the networks and the roots of all containers. Starts nothing. */
  async prepare(): Promise<void> {
    await makeNetworks(this.#networks);
    // In memory: not every file system allows layers to be written.
    await Deno.mkdir(`${this.#dir}/containers`, { recursive: true });
    await must("mount", ["-t", "tmpfs", "tmpfs", `${this.#dir}/containers`]);
    for (const name of NAMES) this.#roots.set(name, await this.#makeRoot(name));
  }

  async #makeRoot(name: string): Promise<Root> {
    const { image: of, entrypoint, command, user, volumes = [], tmpfs = [] } = this.services[name];
    const image = this.#images.get(of) ?? await openImage(this.#buildah, of);
    this.#images.set(of, image);
    const mounts: Mount[] = [];
    for (const volume of volumes) {
      const [source = "", target = "", mode] = volume.split(":");
      const path = source.startsWith(".")
        ? `${ROOT}${source.slice(2)}`
        : await this.#volume(source, `${image.path}${target}`);
      mounts.push({ source: path, target, is_read_only: mode === "ro" });
    }
    const hosts = hostsOf(name, this.#networks);
    const run = { entrypoint, command, user, mounts, tmpfs, hosts, network: name };
    return await makeRoot(`${this.#dir}/containers/${name}`, run, image);
  }

  /** The folder of a volume. A new one gets the content and owner of the folder that it is mounted over. */
  async #volume(name: string, over: string): Promise<string> {
    const path = `${this.#dir}/volumes/${name}`;
    if (await isThere(path)) return path;
    await Deno.mkdir(`${this.#dir}/volumes`, { recursive: true });
    if (await isThere(over)) await must("cp", ["--archive", over, path]);
    else await Deno.mkdir(path);
    return path;
  }

  /** The address of a service in a network. */
  address(name: string, network: string): string {
    return addressOf(name, network, this.#networks);
  }

  /** Where a path in a service's containers is on this machine. */
  path(name: string, path: string): string {
    return `${this.#roots.get(name)?.path}${path}`;
  }

  /** The service's health check in compose.yaml. */
  healthCheck(name: string): readonly string[] {
    return this.services[name].healthcheck.test;
  }

  /** Starts a container of a service, optionally with another command. */
  run(name: string, command?: readonly string[]): Container {
    const root = this.#roots.get(name);
    if (root === undefined) throw new Error(`${name} is not prepared`);
    const run = command === undefined ? root.run : { ...root.run, command };
    return new Container({ ...root, run });
  }

  /** Starts a service and waits until it is healthy, or until a one-shot service has ended. */
  async start(name: string): Promise<void> {
    const container = this.run(name);
    const { process } = container;
    this.containers.set(name, container);
    if (this.services[name].restart === "no") {
      const { code, text } = await container.ended();
      if (code !== 0) throw new Error(`${name} ended with ${code}: ${text}`);
      return;
    }
    let has_ended = false;
    process.child.status.then(() => has_ended = true);
    const what = () => `${name} is healthy; it says: ${process.text}`;
    await until(what, async () => {
      if (has_ended) throw new Error(`${name} has ended: ${process.text}`);
      return await container.isHealthy(this.healthCheck(name));
    }, HEALTHY_MS);
  }

  /** Starts these services, each after its dependencies. */
  async up(names: readonly string[], say: (line: string) => void): Promise<void> {
    for (const name of names) {
      if (this.containers.has(name)) continue;
      await this.up(Object.keys(this.services[name].depends_on ?? {}), say);
      await this.start(name);
      say(`${name} is up`);
    }
  }

  /** Stops a service as compose does; returns its exit code. */
  async stop(name: string): Promise<number> {
    const seconds = Number.parseInt(this.services[name].stop_grace_period ?? "10s");
    const code = await this.containers.get(name)?.stop(seconds * 1_000);
    this.containers.delete(name);
    return code ?? NaN;
  }
}
