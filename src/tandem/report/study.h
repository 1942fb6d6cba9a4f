#pragma once

#include <functional>
#include <string>
#include <vector>

namespace tandem {

// One claim of a published method beside what comes out here.
struct Claim {
  std::string what;
  std::string published, here;
  bool holds = false;
};

// What a study says while it runs.
class StudyReport {
 public:
  // A figure that holds when it is within `tolerance` of the published one; `unit` stands behind
  // both.
  void within(const std::string& what, double published, double here, double tolerance,
              const std::string& unit);
  // The same with a tolerance that is a share of the published figure.
  void within_share(const std::string& what, double published, double here, double share,
                    const std::string& unit = "");
  // A statement that holds or does not.
  void claim(const std::string& what, const std::string& published, const std::string& here,
             bool holds);
  // What a reader must know to judge the claims.
  void note(const std::string& text) { notes_.push_back(text); }

  const std::vector<Claim>& claims() const { return claims_; }
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  std::vector<Claim> claims_;
  std::vector<std::string> notes_;
};

// The re-run of a published method's claims through the public interface: one file in studies/.
struct Study {
  std::string slug;    // "zeroquant-fp6"
  std::string title;   // of the method
  std::string source;  // the paper
  std::function<void(StudyReport&)> run;
};

// Filled by register_studies() of studies/, before the command line looks.
std::vector<Study>& studies();

}  // namespace tandem
