#!/bin/sh
# cppcheck has nothing to say about the sources of the programs and of bench/. Usage: cppcheck_test.sh ROOT
# What is left out, and why:
#   normalCheckLevelMaxBranches  a remark about itself
#   unknownMacro                 it does not read the .def tables
#   missingInclude*              the system's headers are not its business
#   uninitvar                    it does not follow uthash's loops; compilers and sanitizers look
#   duplicateAssignExpression    two values may begin alike
#   preprocessorErrorDirective   some headers of the system refuse its macros
cd "$1" || exit 1
exec cppcheck --quiet --std=c11 --language=c --error-exitcode=1 --inline-suppr -j2 \
	--enable=warning,performance,portability \
	--suppress=normalCheckLevelMaxBranches --suppress=unknownMacro \
	--suppress=missingInclude --suppress=missingIncludeSystem \
	--suppress=preprocessorErrorDirective --suppress=uninitvar \
	--suppress=duplicateAssignExpression \
	-D_GNU_SOURCE -DFETTLE_VERSION='"0"' -I. \
	base proto jobfile report broker observer worker cli bench
