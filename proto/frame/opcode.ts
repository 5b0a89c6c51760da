/** Byte 0 of every binary frame (docs/protocol.md). The text form has an `op` member instead. */
export enum Opcode {
  WELCOME = 0x00,
  PUB = 0x01,
  SUB = 0x02,
  UNSUB = 0x03,
  MSG = 0x04,
  BATCH = 0x05,
  REFRESH = 0x06,
  PING = 0x07,
  PONG = 0x08,
  ACK = 0x09,
  ERR = 0x99,
}
