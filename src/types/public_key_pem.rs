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
    /// All keys of a text; none at all if one of them is no key that signatures are checked with, or something else stands there.
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
        ..=0x7F => (usize::from(first), rest),
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::PublicKey;
    use crate::types::JwsAlgorithm;

    fn keys(pem: &str) -> Option<Vec<PublicKey>> {
        PublicKey::all_from_pem(pem, &[JwsAlgorithm::Rs256])
    }

    fn only(pem: &str) -> (JwsAlgorithm, [u8; 32]) {
        let keys = keys(pem).unwrap();
        assert_eq!(keys.len(), 1, "{pem}");
        let algorithms: Vec<_> = keys[0].algorithms().collect();
        assert_eq!(algorithms.len(), 1, "{pem}");
        (algorithms[0], keys[0].thumbprint())
    }

    #[test]
    fn rfc7468_13_a_key_is_the_same_in_each_wrapping() {
        assert_eq!(only(RSA_SPKI).0, JwsAlgorithm::Rs256);
        assert_eq!(only(RSA_PKCS1), only(RSA_SPKI));
        assert_eq!(only(RSA_CERTIFICATE), only(RSA_SPKI));
        assert_eq!(only(EC).0, JwsAlgorithm::Es256);
        assert_eq!(only(EC_CERTIFICATE), only(EC));
        assert_eq!(only(EC_384).0, JwsAlgorithm::Es384);
        assert_eq!(only(ED).0, JwsAlgorithm::EdDsa);
        assert_eq!(only(&EC.replace('\n', "\r\n")), only(EC));
        assert_eq!(only(&format!("our issuer's key\n{ED}\n")), only(ED));
        assert_eq!(keys(&format!("{EC}\n{RSA_PKCS1}\n{ED}")).unwrap().len(), 3);
    }

    #[test]
    fn v08_of_keys_that_the_host_names_none_is_left_out() {
        let private = SECRET.replace("SECRET", "PRIVATE");
        for bad in [
            EC_521,
            EC_K1,
            X25519,
            COMPRESSED,
            &private,
            "",
            "key",
            "-----BEGIN PUBLIC KEY-----",
        ] {
            assert!(keys(bad).is_none(), "{bad}");
            assert!(
                bad.is_empty() || bad == "key" || keys(&format!("{EC}\n{bad}")).is_none(),
                "{bad}"
            );
        }
        // Cut off, or with more behind it.
        let (label, rest) = EC.split_once("MFkw").unwrap();
        assert!(keys(&format!("{label}MFow{rest}")).is_none());
        let (rest, _) = EC.split_once("\n-----END").unwrap();
        assert!(keys(&format!("{rest}AA\n-----END PUBLIC KEY-----")).is_none());
    }

    #[test]
    fn x690_10_1_a_length_is_read_in_its_shortest_form_alone() {
        let read = |length: &[u8], content: usize| {
            let der = [&[super::INTEGER], length, &vec![7; content]].concat();
            super::whole(super::INTEGER, &der).map(<[u8]>::len)
        };
        for (length, content) in [
            (&[0x7F][..], 0x7F),
            (&[0x81, 0x80], 0x80),
            (&[0x81, 0xFF], 0xFF),
            (&[0x82, 1, 0], 0x100),
            (&[0x82, 1, 1], 0x101),
        ] {
            assert_eq!(read(length, content), Some(content), "{length:?}");
            assert_eq!(read(length, content - 1), None, "{length:?}");
            assert_eq!(read(length, content + 1), None, "{length:?}");
        }
        for (length, content) in [
            (&[0x81, 0x7F][..], 0x7F),
            (&[0x82, 0, 0xFF], 0xFF),
            (&[0x83, 0, 1, 0], 0x100),
            (&[0x80], 0),
        ] {
            assert_eq!(read(length, content), None, "{length:?}");
        }
    }

    proptest! {
        #[test]
        fn v08_no_der_panics_the_parser(
            bytes in proptest::collection::vec(any::<u8>(), 0..100),
            place in 0_usize..91,
            byte in any::<u8>(),
        ) {
            let _ = PublicKey::from_der(&bytes, &[]);
            let _ = super::key_of_certificate(&bytes);
            use rustls_pki_types::{CertificateDer, pem::PemObject as _};
            let mut certificate = CertificateDer::from_pem_slice(EC_CERTIFICATE.as_bytes()).unwrap().to_vec();
            certificate[place] = byte;
            let key = super::key_of_certificate(&certificate);
            let _ = key.map(|key| PublicKey::from_der(key, &[]));
        }
    }

    const RSA_SPKI: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAjawcoYrA6S6HYzkMjnP/
9QofRdUigtOG5DoRr82BKha1s8JCXyUJkqhmxjD8VMMODmQRR3mqkHGG+XE9oXT7
E/h4O1HSWUGSgyNLvEEcRwFZ78z4P6ZqVgS62qy2vbq0ecgjN9Qn/qEU7OV1Eiz2
SOlhZTaUibonJoayFB8/eHaL5F5Y4A/sk1F2ma/POVaIaBmFltOugxja70kQkwp+
dpA3ro0lE8dVyj+jU7QmB9RCfNqkhJ/24nAPZhXZ7Yaq+Sh/cj7pvjG6ZWymNAaN
CSLVuyM9WRhKPiLqPI+IBP4dIZ7MWit2yWftqCZ7JpRWmS37qVQNXQOExlW2T78X
+wIDAQAB
-----END PUBLIC KEY-----";
    const RSA_PKCS1: &str = "-----BEGIN RSA PUBLIC KEY-----
MIIBCgKCAQEAjawcoYrA6S6HYzkMjnP/9QofRdUigtOG5DoRr82BKha1s8JCXyUJ
kqhmxjD8VMMODmQRR3mqkHGG+XE9oXT7E/h4O1HSWUGSgyNLvEEcRwFZ78z4P6Zq
VgS62qy2vbq0ecgjN9Qn/qEU7OV1Eiz2SOlhZTaUibonJoayFB8/eHaL5F5Y4A/s
k1F2ma/POVaIaBmFltOugxja70kQkwp+dpA3ro0lE8dVyj+jU7QmB9RCfNqkhJ/2
4nAPZhXZ7Yaq+Sh/cj7pvjG6ZWymNAaNCSLVuyM9WRhKPiLqPI+IBP4dIZ7MWit2
yWftqCZ7JpRWmS37qVQNXQOExlW2T78X+wIDAQAB
-----END RSA PUBLIC KEY-----";
    const RSA_CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----
MIIDAzCCAeugAwIBAgIUDYZdnpmdjVrb6YrNAasH2RnSk7UwDQYJKoZIhvcNAQEL
BQAwETEPMA0GA1UEAwwGaXNzdWVyMB4XDTI2MTEyNjEzNTcwNloXDTI2MTEyNzEz
NTcwNlowETEPMA0GA1UEAwwGaXNzdWVyMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A
MIIBCgKCAQEAjawcoYrA6S6HYzkMjnP/9QofRdUigtOG5DoRr82BKha1s8JCXyUJ
kqhmxjD8VMMODmQRR3mqkHGG+XE9oXT7E/h4O1HSWUGSgyNLvEEcRwFZ78z4P6Zq
VgS62qy2vbq0ecgjN9Qn/qEU7OV1Eiz2SOlhZTaUibonJoayFB8/eHaL5F5Y4A/s
k1F2ma/POVaIaBmFltOugxja70kQkwp+dpA3ro0lE8dVyj+jU7QmB9RCfNqkhJ/2
4nAPZhXZ7Yaq+Sh/cj7pvjG6ZWymNAaNCSLVuyM9WRhKPiLqPI+IBP4dIZ7MWit2
yWftqCZ7JpRWmS37qVQNXQOExlW2T78X+wIDAQABo1MwUTAdBgNVHQ4EFgQUlOVA
4vebNIjDyARFC08fQGOvX0QwHwYDVR0jBBgwFoAUlOVA4vebNIjDyARFC08fQGOv
X0QwDwYDVR0TAQH/BAUwAwEB/zANBgkqhkiG9w0BAQsFAAOCAQEAS1NUpxeDsnJM
a2qVHu9G3vbFH/4/ejLX3/y0m2g6q/nq5tcx2EzKyFV24jZpWmM80tCWQJuCkeb1
lqJdD09PX4ZfhtNxtnENgFidjHjDwuesJiMCVHajukDmcoFSz43+5jm0cilGnruH
giU25Rt1HZ6BsLEVdLlxySgiaR8lhPTmNZJXFeYzxZpY5c/vtNUut8L43R1bRzL8
uh0MMzDsQgvuCRD4LKmhWoHktu4Vr10zC3VbKR/X3Ht3rbOfut/xEafXwKzKrdDs
XTovytzO6C2yT4+Q3gIh18z0hcAZ41ZnTYCJEoFTynUDeo7/qYwgGgTJLXQRMWL8
EyTEv0BXbQ==
-----END CERTIFICATE-----";
    const EC: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAENhaNZMeYKk5c62pvz1xXvZ65ThJs
twR31W0yuM60cVDu0g+IJCz8trjPNNmRGwtt5ya+tDTwogWSinQ8EaJ2+g==
-----END PUBLIC KEY-----";
    const EC_CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----
MIIBdjCCAR2gAwIBAgIUL16/ZX6SiAezvn70h5BUFrbnJgkwCgYIKoZIzj0EAwIw
ETEPMA0GA1UEAwwGaXNzdWVyMB4XDTI2MTEyNjEzNTcwNloXDTI2MTEyNzEzNTcw
NlowETEPMA0GA1UEAwwGaXNzdWVyMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE
NhaNZMeYKk5c62pvz1xXvZ65ThJstwR31W0yuM60cVDu0g+IJCz8trjPNNmRGwtt
5ya+tDTwogWSinQ8EaJ2+qNTMFEwHQYDVR0OBBYEFK5o4jIUS1UsJc053eOjkszV
UZ98MB8GA1UdIwQYMBaAFK5o4jIUS1UsJc053eOjkszVUZ98MA8GA1UdEwEB/wQF
MAMBAf8wCgYIKoZIzj0EAwIDRwAwRAIgKQNVO+lqTht2/kAI92fUQdaFNDuSg8rL
fE2lePN3fSECIFaRrZXcvt7bcwqnY94FwQJanue/RD/K+h9xSGBk8Yp9
-----END CERTIFICATE-----";
    const EC_384: &str = "-----BEGIN PUBLIC KEY-----
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEdxHLfPzgM/JcDWXZlDviBCc5Xf/MG1zW
6Ien/Ju8OZWrGqOJHy2HzjC9v9A5gzFIc9bicEuqJZ9e//zv1LvuOXhZQWoV8h3r
5xoZa/ZIW5GETQuhNdhR3JA2ZziVMjOV
-----END PUBLIC KEY-----";
    const ED: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAdjdHW8VoVqD6wTm/OyPGyJIwD7KgfVeHFo7bMbzaKkE=
-----END PUBLIC KEY-----";
    const EC_521: &str = "-----BEGIN PUBLIC KEY-----
MIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQAZOwCXHVI7TQTnTFTLeyecdCQOSQN
Mc3OYez4E41qj1gvAJcZaR4nIDiQ3W0YuvrwHqVI4U8HE2MsHi2mmj5WiJEB00Ye
XLH+qS/ZOGAUK3B4spOCgwzWXM0o9U3aTFhQ7v/JJAhCgbg/ksAPNprjuR50+8zd
HPpBrnPUSLVZjbCdviY=
-----END PUBLIC KEY-----";
    const EC_K1: &str = "-----BEGIN PUBLIC KEY-----
MFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAEPCTSjK8aS6s/DZWzsTu0yJCvjQMAF3fU
LLqm646Dx7nc6tEJtByO0Rhm3PufC4VXpi1pGHeMcg4BtuIZN5jjLw==
-----END PUBLIC KEY-----";
    const X25519: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VuAyEAWS0ju6yVe6SIs8J93XYv32qM4HntbgWHINaaGuyyP28=
-----END PUBLIC KEY-----";
    const COMPRESSED: &str = "-----BEGIN PUBLIC KEY-----
MDkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDIgACNhaNZMeYKk5c62pvz1xXvZ65ThJs
twR31W0yuM60cVA=
-----END PUBLIC KEY-----";
    const SECRET: &str = "-----BEGIN SECRET KEY-----
MC4CAQAwBQYDK2VwBCIEIN0M/bJkHxWw1IooV/KAJHE7Zk13qtfZExkZwc+dNfKa
-----END SECRET KEY-----";
}
