/**
 * The bucket of schemas as builds before the plain bucket wrote it: stored keys and values (base64),
 * read from the stream of a real server. Two versions of `v1.events.user_created`, one of `fleet`
 * (FULL), and a set alone under `alone`. Tests only.
 */

/** Subjects below `$KV.ARQON_SCHEMAS.`, and payloads with their nonces. */
export const OLD_BUCKET: readonly (readonly [stored_key: string, base64: string])[] = [
  [
    "djEuZXZlbnRzLnVzZXJfY3JlYXRlZA.MQ.NTY0NzA4OGM3ODk4MjZhNTZiNDBjYzBjMjcwMzVjNGVmZDAwZTk5MDk1NTQ3NTI0OGI0NTcxMzBjOGQyM2RkOQ",
    "92FFSh7rm5Kv9NXxBcpDGh+LCAAAAAAAAAPj0uJiL9ErKMovyRdiLFES4WIJyMxLF+LhYsyTYFRg0mANYsxLYgPLGwEA0MyAwiwAAAA=",
  ],
  [
    "djEuZXZlbnRzLnVzZXJfY3JlYXRlZA.Mg.NzhkNDJhNTZiNzYzMTE0YmY2Y2FmNmE3ZmE4ZTgxMmEzNzY3MWM2MmViMDI1NmEyZDM1MGVlYTc5NjAyZWUyMA",
    "MWGPR3UcgPSUaCZD7u2D8R+LCAAAAAAAAAPjcuBiL9ErKMovyRdiLFHS4mIJyMxLF+LhYsyTYFRg0mANYswTEuFiTa0oKUqUSFZg1GANgnCS2MC6jADhNQCUQgAAAA==",
  ],
  [
    "djEuZXZlbnRzLnVzZXJfY3JlYXRlZA",
    "M+RVon84MT96xLs+5tts3HsiZm9ybWF0IjoxLCJjb21wYXRpYmlsaXR5IjoiQkFDS1dBUkQiLCJ2ZXJzaW9ucyI6W3sidmVyc2lvbiI6MSwic2hhMjU2IjoiNTY0NzA4OGM3ODk4MjZhNTZiNDBjYzBjMjcwMzVjNGVmZDAwZTk5MDk1NTQ3NTI0OGI0NTcxMzBjOGQyM2RkOSIsInNpemVfYnl0ZXMiOjYxLCJyZWdpc3RlcmVkX21zIjoxNzYzMDAwMDAwMDAwLCJieSI6Im9wcyJ9LHsidmVyc2lvbiI6Miwic2hhMjU2IjoiNzhkNDJhNTZiNzYzMTE0YmY2Y2FmNmE3ZmE4ZTgxMmEzNzY3MWM2MmViMDI1NmEyZDM1MGVlYTc5NjAyZWUyMCIsInNpemVfYnl0ZXMiOjc4LCJyZWdpc3RlcmVkX21zIjoxNzYzMDAwMDAwMDAwLCJieSI6Im9wcyJ9XX0=",
  ],
  [
    "ZmxlZXQ.MQ.NTY0NzA4OGM3ODk4MjZhNTZiNDBjYzBjMjcwMzVjNGVmZDAwZTk5MDk1NTQ3NTI0OGI0NTcxMzBjOGQyM2RkOQ",
    "YxIhL4ckrMMq71E/iWiLOh+LCAAAAAAAAAPj0uJiL9ErKMovyRdiLFES4WIJyMxLF+LhYsyTYFRg0mANYsxLYgPLGwEA0MyAwiwAAAA=",
  ],
  [
    "ZmxlZXQ",
    "LL2N77XvWu7bfnWbf72bCXsiZm9ybWF0IjoxLCJjb21wYXRpYmlsaXR5IjoiRlVMTCIsInZlcnNpb25zIjpbeyJ2ZXJzaW9uIjoxLCJzaGEyNTYiOiI1NjQ3MDg4Yzc4OTgyNmE1NmI0MGNjMGMyNzAzNWM0ZWZkMDBlOTkwOTU1NDc1MjQ4YjQ1NzEzMGM4ZDIzZGQ5Iiwic2l6ZV9ieXRlcyI6NjEsInJlZ2lzdGVyZWRfbXMiOjE3NjMwMDAwMDAwMDAsImJ5Ijoib3BzIn1dfQ==",
  ],
  [
    "YWxvbmU",
    "Q4p1A/ke0qrVKOFvPhu7fB+LCAAAAAAAAAPj0uJiL9ErKMovyRdiLFES4WIJyMxLF+LhYsyTYFRg0mANYsxLYgPLGwEA0MyAwiwAAAA=",
  ],
];

/** The bytes of one of the values. */
export const oldBytes = (base64: string): Uint8Array => Uint8Array.fromBase64(base64);
