@echo off
rem Starts Atelier Z; the first start sets it up in .venv.
rem   start.bat [arguments of app.py]     start.bat test [arguments of pytest]
rem ATELIER_TORCH=cpu, cu126 or cu130 overrules the choice of PyTorch; PYTHON names the Python to use.
setlocal DisableDelayedExpansion
set "HERE=%~dp0"
set "PYTHONPATH="
set "PYTHONHOME="

set NEW_ENOUGH=-c "import sys; sys.exit(sys.version_info < (3, 11))"
if not defined PYTHON goto search
set FOUND="%PYTHON%"
%FOUND% %NEW_ENOUGH% >nul 2>&1 && goto found
echo PYTHON=%PYTHON% does not start a Python 3.11 or newer.
goto failed

:search
set "FOUND=py -3"
%FOUND% %NEW_ENOUGH% >nul 2>&1 && goto found
set "FOUND=python"
%FOUND% %NEW_ENOUGH% >nul 2>&1 && goto found
echo No Python 3.11 or newer was found. Install one (https://www.python.org/downloads) and start again.
goto failed

:found
if /i "%~1"=="test" goto test
pushd "%HERE%"
%FOUND% -m engine.setup.install
set "CODE=%ERRORLEVEL%"
popd
if not "%CODE%"=="0" goto failed
"%HERE%.venv\Scripts\python.exe" "%HERE%app.py" %*
exit /b %ERRORLEVEL%

:test
pushd "%HERE%"
%FOUND% -m engine.setup.install --tests
if errorlevel 1 goto failed
set "REST=%*"
setlocal EnableDelayedExpansion
set OMP_NUM_THREADS=1
.venv\Scripts\python.exe -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder !REST:~4!
set "CODE=%ERRORLEVEL%"
popd
exit /b %CODE%

:failed
rem A window opened by a double click would close before the sentence above is read.
if not defined CI pause
exit /b 1
