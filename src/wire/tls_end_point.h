// What SCRAM-SHA-256-PLUS binds a password to: the hash of the certificate that a server's TLS has,
// tls-server-end-point (RFC 5929, section 4.1). Both sides compute it here. It is a header, so that
// who has no TLS needs no OpenSSL.
#ifndef PGLITE_WIRE_TLS_END_POINT_H_
#define PGLITE_WIRE_TLS_END_POINT_H_

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <array>
#include <cstdint>
#include <vector>

namespace pglite::wire {

// By the hash of the certificate's signature. Empty where the signature has none of its own, such
// as Ed25519: RFC 5929 does not say what it is then.
inline std::vector<uint8_t> tls_end_point(X509* certificate) {
  int digest_id = NID_undef;
  if (certificate == nullptr ||
      X509_get_signature_info(certificate, &digest_id, nullptr, nullptr, nullptr) != 1) {
    ERR_clear_error();
    return {};
  }
  if (digest_id == NID_md5 || digest_id == NID_sha1) digest_id = NID_sha256;
  const EVP_MD* const digest = digest_id == NID_undef ? nullptr : EVP_get_digestbynid(digest_id);
  std::array<unsigned char, EVP_MAX_MD_SIZE> hash;
  unsigned size = 0;
  if (digest == nullptr || X509_digest(certificate, digest, hash.data(), &size) != 1) {
    ERR_clear_error();
    return {};
  }
  return {hash.begin(), hash.begin() + size};
}

}  // namespace pglite::wire

#endif  // PGLITE_WIRE_TLS_END_POINT_H_
