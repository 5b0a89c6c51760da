//! `arqon_proof_reader URL VKEY`: checks proofs over a served tree by Cloudflare's `tlog_tiles` and `signed_note`, and
//! by `ct-merkle`, for tests. Each line of stdin is a claim, of which only the hashes are looked at: roots and leaves
//! are those of the served tree. It says how many both libraries find right, and how many both find wrong. Not ours to
//! ship.
//!
//!     inclusion SIZE INDEX HASH…
//!     consistency SIZE OLD HASH…

use base64::{engine::general_purpose::STANDARD, Engine};
use ct_merkle::{ConsistencyProof, InclusionProof, RootHash};
use sha2::Sha256;
use signed_note::{Note, StandardVerifier, VerifierList};
use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{stdin, Read, Write};
use std::net::TcpStream;
use tlog_tiles::{
    check_record, check_tree, record_hash, stored_hash_index, tree_hash, Checkpoint, Error, Hash,
    HashReader, Tile, TileHashReader, TileReader,
};

/// Files below an address, each asked for once.
struct Served {
    host: String,
    path: String,
    known: RefCell<HashMap<String, Vec<u8>>>,
}

impl Served {
    fn get(&self, name: &str) -> Vec<u8> {
        if let Some(bytes) = self.known.borrow().get(name) {
            return bytes.clone();
        }
        let (host, path) = (&self.host, &self.path);
        let mut stream = TcpStream::connect(host).expect("connect");
        write!(stream, "GET {path}/{name} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")
            .expect("ask");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("read");
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
        assert!(head.starts_with("http/1.1 200"), "{name}: {head}");
        assert!(head.contains("content-length:"), "{name}: {head}");
        let bytes = answer.split_off(end + 4);
        self.known.borrow_mut().insert(name.into(), bytes.clone());
        bytes
    }

    /// The entries of the tree, as the bundles have them.
    fn entries(&self, size: u64) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        while (all.len() as u64) < size {
            let width = (size - all.len() as u64).min(256) as u32;
            let tile = Tile::new(8, 0, all.len() as u64 / 256, width, true);
            let bundle = self.get(&tile.path().replace("tile/8/data", "tile/entries"));
            let mut rest = &bundle[..];
            while let [high, low, after @ ..] = rest {
                let (entry, next) = after.split_at(usize::from(u16::from_be_bytes([*high, *low])));
                all.push(entry.to_vec());
                rest = next;
            }
        }
        all
    }
}

impl TileReader for Served {
    fn height(&self) -> u8 {
        8
    }
    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, Error> {
        Ok(tiles.iter().map(|tile| self.get(&tile.path().replace("tile/8/", "tile/"))).collect())
    }
    fn save_tiles(&self, _tiles: &[Tile], _data: &[Vec<u8>]) {}
}

fn main() {
    let [url, vkey] = [1, 2].map(|at| std::env::args().nth(at).expect("URL VKEY"));
    let (host, path) = url.trim_start_matches("http://").split_once('/').expect("a path");
    let (host, path) = (host.to_string(), format!("/{path}"));
    let served = Served { host, path, known: RefCell::default() };
    let note = Note::from_bytes(&served.get("checkpoint")).expect("a note");
    let verifier = StandardVerifier::new(&vkey).expect("a vkey");
    note.verify(&VerifierList::new(vec![Box::new(verifier)])).expect("signed");
    let head = Checkpoint::from_bytes(note.text()).expect("a checkpoint");
    let reader = TileHashReader::new(head.size(), *head.hash(), &served);
    let entries = served.entries(head.size());
    for (at, entry) in entries.iter().enumerate() {
        let leaf = reader.read_hashes(&[stored_hash_index(0, at as u64)]).expect("a leaf")[0];
        assert!(leaf == record_hash(entry), "entry {at} is not its leaf");
    }
    let mut roots: HashMap<u64, Hash> = HashMap::new();
    let mut root = |size: u64| {
        *roots.entry(size).or_insert_with(|| tree_hash(size, &reader).expect("a root"))
    };
    let (mut good, mut wrong) = (0, 0);
    let mut claims = String::new();
    stdin().read_to_string(&mut claims).expect("claims");
    for line in claims.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [size, other] = [1, 2].map(|at| words[at].parse::<u64>().expect("a number"));
        let bytes: Vec<u8> =
            words[3..].iter().flat_map(|hash| STANDARD.decode(hash).expect("base64")).collect();
        let path: Vec<Hash> = bytes.chunks(32).map(|hash| Hash(hash.try_into().unwrap())).collect();
        let head = |size, hash: Hash| RootHash::<Sha256>::new(hash.0.into(), size);
        let is_right = if words[0] == "inclusion" {
            let entry = &entries[other as usize];
            let proof = InclusionProof::<Sha256>::from_bytes(bytes);
            let one = check_record(&path, size, root(size), other, record_hash(entry));
            [one.is_ok(), head(size, root(size)).verify_inclusion(entry, other, &proof).is_ok()]
        } else {
            let proof = ConsistencyProof::<Sha256>::try_from_bytes(bytes).expect("hashes");
            let one = check_tree(&path, size, root(size), other, root(other));
            let old = head(other, root(other));
            [one.is_ok(), head(size, root(size)).verify_consistency(&old, &proof).is_ok()]
        };
        match is_right {
            [true, true] => good += 1,
            [false, false] => wrong += 1,
            _ => panic!("they differ: {line}"),
        }
    }
    println!("{{\"good\":{good},\"wrong\":{wrong}}}");
}
