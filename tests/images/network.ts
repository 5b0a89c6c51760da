/**
 * The networks of compose.yaml, as Docker makes them: a bridge each, and a network namespace for each service with an
 * address in each of its networks. Nothing leads out of them, and no port is published. Run it in a separate network
 * namespace, with which everything ends.
 */
import { must } from "./buildah.ts";

/** Names of networks by service. */
export type Networks = Readonly<Record<string, readonly string[]>>;

const ip = (...args: string[]) => must("ip", args);

const namesOf = (services: Networks) => [...new Set(Object.values(services).flat())];

/** The address of a service in a network. */
export function addressOf(service: string, network: string, services: Networks): string {
  const place = Object.keys(services).indexOf(service);
  return `10.99.${namesOf(services).indexOf(network)}.${place + 2}`;
}

/** Makes all networks. A namespace is at `/run/netns/SERVICE`. */
export async function makeNetworks(services: Networks): Promise<void> {
  for (const name of namesOf(services)) {
    await ip("link", "add", name, "type", "bridge");
    await ip("link", "set", name, "up");
  }
  for (const [place, [service, its]] of Object.entries(services).entries()) {
    await ip("netns", "add", service);
    await ip("-n", service, "link", "set", "lo", "up");
    for (const [at, network] of its.entries()) {
      const outer = `service${place}eth${at}`;
      const inner = `eth${at}`;
      const peer = ["type", "veth", "peer", "name", inner, "netns", service];
      await ip("link", "add", outer, "master", network, ...peer);
      await ip("link", "set", outer, "up");
      const address = `${addressOf(service, network, services)}/24`;
      await ip("-n", service, "address", "add", address, "dev", inner);
      await ip("-n", service, "link", "set", inner, "up");
    }
  }
}

/** `/etc/hosts` of a service: the services that share a network with it. */
export function hostsOf(service: string, services: Networks): string {
  const lines = Object.entries(services).flatMap(([other, its]) =>
    its.filter((network) => services[service]?.includes(network))
      .map((network) => `${addressOf(other, network, services)} ${other}\n`)
  );
  return `127.0.0.1 localhost\n${lines.join("")}`;
}
