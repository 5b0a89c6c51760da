/** The text of a development bus that is ready: for people, and in one line for programs. Pure. */
import type { DevBusReady } from "./dev_bus.ts";

/** The line for programs, in JSON: `{"url","ops_url","admin_url","token","tenant"}`. */
export function readyLine({ url, ops_url, admin_url, token, tenant }: DevBusReady): string {
  return `${JSON.stringify({ url, ops_url, admin_url, token, tenant })}\n`;
}

/**
 * The text for people. `arq` is how they start arq, `end` how they end the bus, and `has_durable` whether it has the
 * default durable rooms.
 */
export function readyText(
  { url, ops_url, admin_url, token, tenant }: DevBusReady,
  { arq, end, has_durable }: {
    readonly arq: string;
    readonly end: string;
    readonly has_durable: boolean;
  },
): string {
  const durable = `
Rooms named durable-… and orders… keep their messages:

  ${arq} pub orders '{"item":"tea"}'
  ${arq} sub orders --from 0
`;
  return `
ArqonBus is ready.

  URL      ${url}
  ops      ${ops_url}/health/ready  ${ops_url}/metrics
  admin    ${admin_url}
  console  ${admin_url}/console/
  tenant   ${tenant}
  token    ${token}

In two other terminals, in this folder:

  ${arq} sub lobby
  ${arq} pub lobby '{"hello":"world"}'
${has_durable ? durable : ""}${end === "" ? "" : `\n${end}\n`}
`;
}
