#include <iostream>

#include "tandem/base/version.h"

int main() { std::cout << tandem::version() << "\n"; }
