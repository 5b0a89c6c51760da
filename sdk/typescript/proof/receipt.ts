/** Receipts of publishes: how to request and read them. */
import { ArqonError, strictText } from "@arqon/proto";

/** Headers that request a receipt in the ACK of a publish: `publish(type, data, { headers: WITH_RECEIPT })`. */
export const WITH_RECEIPT: Readonly<Record<string, string>> = { "x-arqon-receipt": "1" };

/**
 * The signed receipt of a publish, which `arq proof verify` checks; undefined if the room has none. Throws
 * `log-unavailable` if the message is stored, and the bus could not make its receipt.
 */
export function receiptIn({ result }: { readonly result: Uint8Array }): string | undefined {
  if (result.length === 0) return undefined;
  const { receipt } = JSON.parse(strictText(result));
  if (receipt !== null) return receipt;
  throw new ArqonError("log-unavailable", "the message is stored, and has no receipt");
}
