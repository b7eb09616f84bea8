// HTTP and HTTPS to one server, through cpp-httplib: certificates are verified, one limit of time
// holds for the whole exchange, and no redirect leaves the server.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <string_view>

namespace etrlrec {

struct BaseUrl {
  std::string origin;  // "https://api.example.org:8443"
  std::string path;    // "/v1", without a slash at its end; may be empty
};
// Errors (kUsage): another scheme than http and https, no host, a bad port, a user name or password
// (a key belongs into a file or the environment), a query.
BaseUrl parse_base_url(std::string_view url);

struct HttpOptions {
  std::string ca_file;  // certificates in PEM that are trusted; empty: those of the system
  double connect_seconds = 10;
  double total_seconds = 300;  // of one exchange, whatever the server does
  size_t max_body_bytes = size_t{64} << 20;
};

// Why there is no answer. kTls and kRedirect are no accidents: asking again does not help.
enum class HttpFailure { kNone, kConnection, kTimeout, kTooLarge, kTls, kRedirect };

struct HttpResponse {
  HttpFailure failure = HttpFailure::kNone;
  std::string message;  // of a failure
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case; the first of each
  std::string body;
};

// Keeps its connection between requests. For one thread at a time.
class HttpClient {
 public:
  HttpClient(BaseUrl base, HttpOptions options);
  ~HttpClient();
  // `path` stands behind that of the base URL. Redirects that keep method and server (307, 308) are
  // followed three times.
  HttpResponse post(const std::string& path, const std::map<std::string, std::string>& headers,
                    const std::string& body);

 private:
  struct Library;
  HttpResponse exchange(const std::string& path, const std::map<std::string, std::string>& headers,
                        const std::string& body);

  BaseUrl base_;
  HttpOptions options_;
  std::unique_ptr<Library> library_;
};

}  // namespace etrlrec
