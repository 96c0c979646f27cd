//! Public keys in PEM: `PUBLIC KEY`, `RSA PUBLIC KEY` and `CERTIFICATE` (RFC 7468 §5, §13).

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer};

use super::{JwsAlgorithm, PublicKey};

const BIT_STRING: u8 = 0x03;
const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xA0;

/// RFC 8017 A.1, RFC 5480 §2.1.1 and RFC 8410 §3: what the algorithm of a key is called. DER has one form for each.
const RSA: &[u8] = b"\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x01\x01\x05\x00";
const P256: &[u8] = b"\x06\x07\x2A\x86\x48\xCE\x3D\x02\x01\x06\x08\x2A\x86\x48\xCE\x3D\x03\x01\x07";
const P384: &[u8] = b"\x06\x07\x2A\x86\x48\xCE\x3D\x02\x01\x06\x05\x2B\x81\x04\x00\x22";
const ED25519: &[u8] = b"\x06\x03\x2B\x65\x70";

impl PublicKey {
    /// All keys of a text, in order; none if one of them is no key that signatures are checked with, or something else stands there.
    ///
    /// A certificate is only a wrapping of its key here: neither its issuer nor its dates are looked at.
    pub(crate) fn all_from_pem(pem: &str, rsa: &[JwsAlgorithm]) -> Option<Vec<Self>> {
        // The labels tell PKCS#1 from PKCS#8; so do their first bytes.
        let pem = pem.replace("RSA PUBLIC KEY-----", "PUBLIC KEY-----");
        let keys = SubjectPublicKeyInfoDer::pem_slice_iter(pem.as_bytes())
            .map(|der| Self::from_der(der.ok()?.as_ref(), rsa));
        let certificates = CertificateDer::pem_slice_iter(pem.as_bytes())
            .map(|der| Self::from_der(key_of_certificate(der.ok()?.as_ref())?, rsa));
        let keys: Vec<_> = keys.chain(certificates).collect::<Option<_>>()?;
        (!keys.is_empty() && keys.len() == pem.matches("-----BEGIN ").count()).then_some(keys)
    }

    fn from_der(der: &[u8], rsa: &[JwsAlgorithm]) -> Option<Self> {
        let mut rest = whole(SEQUENCE, der)?;
        if rest.first() == Some(&INTEGER) {
            return Self::pkcs1(der, rsa);
        }
        let algorithm = next(SEQUENCE, &mut rest)?;
        // RFC 5280 §4.1: no bits are left unused.
        let key = whole(BIT_STRING, rest)?.strip_prefix(&[0])?;
        match algorithm {
            RSA => Self::pkcs1(key, rsa),
            P256 => Self::p256(key),
            P384 => Self::p384(key),
            ED25519 => Self::ed25519(key),
            _ => None,
        }
    }

    /// RFC 8017 A.1.1.
    fn pkcs1(der: &[u8], algorithms: &[JwsAlgorithm]) -> Option<Self> {
        let mut rest = whole(SEQUENCE, der)?;
        let modulus = next(INTEGER, &mut rest)?;
        let exponent = whole(INTEGER, rest)?;
        // The first bit is the sign; where it would be set, there is a zero before it.
        let positive = |number| <[u8]>::strip_prefix(number, &[0]).unwrap_or(number);
        Self::rsa(positive(modulus), positive(exponent), algorithms)
    }
}

/// RFC 5280 §4.1: the sixth of what is signed, or the seventh, if it says its version.
fn key_of_certificate(der: &[u8]) -> Option<&[u8]> {
    let mut certificate = whole(SEQUENCE, der)?;
    let mut rest = next(SEQUENCE, &mut certificate)?;
    if rest.first() == Some(&VERSION) {
        next(VERSION, &mut rest)?;
    }
    for tag in [INTEGER, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE] {
        next(tag, &mut rest)?;
    }
    let key = rest;
    next(SEQUENCE, &mut rest)?;
    key.get(..key.len() - rest.len())
}

/// The content of the one element there is (X.690 §8.1).
fn whole(tag: u8, mut der: &[u8]) -> Option<&[u8]> {
    let content = next(tag, &mut der)?;
    der.is_empty().then_some(content)
}

/// The content of the next element, which is taken off. Lengths are in their shortest form (X.690 §10.1).
fn next<'a>(tag: u8, der: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (&[found, first], rest) = der.split_first_chunk()?;
    let (length, rest) = match first {
        0..0x80 => (usize::from(first), rest),
        0x81 => {
            let (&[length], rest) = rest.split_first_chunk()?;
            (usize::from(length), rest)
        }
        0x82 => {
            let (&length, rest) = rest.split_first_chunk()?;
            (usize::from(u16::from_be_bytes(length)), rest)
        }
        _ => return None,
    };
    let shortest = match first {
        0x81 => length >= 0x80,
        0x82 => length >= 0x100,
        _ => true,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    *der = rest;
    (found == tag && shortest).then_some(content)
}
